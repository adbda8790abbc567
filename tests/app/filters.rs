//! Searches and filters: words, amounts, currency and category, in every interface.

use axum::body::Body;
use chrono::Duration;
use http::{Method, header};
use serde_json::{Value, json};

use crate::{
    pages::{add, assert_has, assert_inert},
    support::{
        ADA, Client, TestApp,
        app::{Browser, TestResponse, request},
        mcp,
    },
};

/// An application in which Ada has seven expenses, and her browser.
async fn app() -> (TestApp, Browser) {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (description, amount, currency, category, date) in [
        ("Café Müller", "4.50", "EUR", "Meals", "2026-11-01"),
        ("Team lunch", "42.50", "USD", "meals", "2026-11-20"),
        ("Train to Łódź", "89.90", "EUR", "Travel", "2026-10-05"),
        ("Ｈｏｔｅｌ", "120.00", "EUR", "travel", "2026-10-06"),
        ("Smørrebrød", "12.00", "DKK", "MEALS", "2025-12-31"),
        ("Lunch, again", "9.00", "EUR", "meals", "2026-11-21"),
        ("Taxi", "20.00", "EUR", "travel", "2026-11-22"),
    ] {
        let changes = json!({
            "description": description, "amount": amount, "currency": currency,
            "category": category, "date": date,
        });
        add(&mut browser, changes).await;
        app.clock.advance(Duration::seconds(1));
    }
    (app, browser)
}

async fn get(app: &TestApp, path: &str) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).get(path).await
}

/// The first words of the descriptions.
fn names(rows: &Value) -> Vec<&str> {
    let names = rows.as_array().unwrap().iter();
    names
        .map(|row| row["description"].as_str().unwrap().split([' ', ',']).next().unwrap())
        .collect()
}

#[tokio::test]
async fn filter_selects_the_same_in_every_interface() {
    let (app, mut browser) = app().await;
    for (query, arguments, expected) in [
        ("q=lunch", json!({"q": "lunch"}), vec!["Lunch", "Team"]),
        ("q=LUNCH+team", json!({"q": "LUNCH team"}), vec!["Team"]),
        ("q=cafe", json!({"q": "cafe"}), vec!["Café"]),
        ("q=m%C3%BCller+MEALS", json!({"q": "müller MEALS"}), vec!["Café"]),
        ("q=lodz", json!({"q": "lodz"}), vec!["Train"]),
        ("q=hotel", json!({"q": "hotel"}), vec!["Ｈｏｔｅｌ"]),
        ("q=smorre", json!({"q": "smorre"}), vec!["Smørrebrød"]),
        ("q=nothing", json!({"q": "nothing"}), vec![]),
        (
            "category=meals",
            json!({"category": "meals"}),
            vec!["Lunch", "Smørrebrød", "Team", "Café"],
        ),
        ("category=TRAVEL", json!({"category": "TRAVEL"}), vec!["Taxi", "Ｈｏｔｅｌ", "Train"]),
        (
            "min_amount=20&max_amount=89.90",
            json!({"min_amount": 20, "max_amount": "89.90"}),
            vec!["Taxi", "Train", "Team"],
        ),
        (
            "currency=EUR&from=2026-11-01&q=a",
            json!({"currency": "EUR", "from": "2026-11-01", "q": "a"}),
            vec!["Taxi", "Lunch", "Café"],
        ),
    ] {
        let list = get(&app, &format!("/expenses?{query}")).await.expect(200);
        assert_eq!(names(&list.json()), expected, "{query}");
        let listed = mcp::output(&app, "list_expenses", arguments.clone()).await;
        assert_eq!(names(&listed["expenses"]), expected, "{query}");

        let csv = get(&app, &format!("/expenses.csv?{query}")).await.expect(200).body;
        assert_eq!(csv.lines().count(), expected.len() + 1, "{query}");
        let page = browser.open(&format!("/expenses?sort=created&{query}")).await.expect(200);
        assert_eq!(page.body.matches("<th class=\"what\"").count(), expected.len(), "{query}");

        // A summary has every category.
        let Some(arguments) = Some(arguments).filter(|it| it.get("category").is_none()) else {
            continue;
        };
        let summary = get(&app, &format!("/expenses/summary?{query}")).await.expect(200).json();
        let currencies = summary["currencies"].as_array().unwrap();
        let count: u64 = currencies.iter().map(|sums| sums["count"].as_u64().unwrap()).sum();
        assert_eq!(count, expected.len() as u64, "{query}");
        assert_eq!(mcp::output(&app, "summarize_expenses", arguments).await, summary, "{query}");
    }
}

#[tokio::test]
async fn filtered_pages_follow_each_other() {
    let (app, _) = app().await;
    for sort in ["created", "date"] {
        let mut path = format!("/expenses?limit=1&sort={sort}&q=l&currency=EUR&min_amount=5");
        let mut found = Vec::new();
        loop {
            let page = get(&app, &path).await.expect(200);
            found.extend(names(&page.json()).into_iter().map(str::to_owned));
            let link = page.header("link").to_owned();
            let Some(rest) = link.strip_prefix('<') else { break };
            path = rest.split('>').next().unwrap().to_owned();
            // The cursor belongs to this filter.
            let other = path.replace("min_amount=5", "min_amount=6");
            get(&app, &other).await.expect(422);
        }
        // The category of three is "travel".
        assert_eq!(found, ["Taxi", "Lunch", "Ｈｏｔｅｌ", "Train"], "{sort}");
    }
}

#[tokio::test]
async fn invalid_filter_gets_every_problem_in_fastapis_shape() {
    let (app, _) = app().await;
    let query = format!("q={}&min_amount=0&max_amount=x&currency=eur", "a".repeat(201));
    for path in [format!("/expenses?{query}"), format!("/expenses/summary?{query}")] {
        let detail = get(&app, &path).await.expect(422).json()["detail"].clone();
        let problems: Vec<[&str; 2]> = detail
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| [problem["loc"][1].as_str().unwrap(), problem["type"].as_str().unwrap()])
            .collect();
        assert_eq!(
            problems,
            [
                ["q", "string_too_long"],
                ["min_amount", "greater_than"],
                ["max_amount", "decimal_parsing"],
                ["currency", "string_pattern_mismatch"],
            ]
        );
    }
    let reversed = get(&app, "/expenses?min_amount=2&max_amount=1.99").await.expect(422).json();
    assert_eq!(
        reversed["detail"],
        json!([{
            "type": "value_error", "loc": ["query", "max_amount"], "input": "1.99",
            "msg": "Value error, max_amount is less than min_amount: give a larger max_amount, or a smaller min_amount",
        }])
    );
    let empty = get(&app, "/expenses?q=").await.expect(422).json();
    assert_eq!(empty["detail"][0]["type"], "string_too_short");
    let complaint = mcp::complaint(&app, "summarize_expenses", json!({"min_amount": -1})).await;
    assert!(complaint.contains("min_amount: Input should be greater than 0"), "{complaint}");
}

#[tokio::test]
async fn categories_that_differ_in_case_are_one() {
    let (app, mut browser) = app().await;
    let summary = get(&app, "/expenses/summary").await.expect(200).json();
    let categories = |currency: usize| {
        let sums = summary["currencies"][currency]["by_category"].as_array().unwrap().iter();
        sums.map(|sum| format!("{} {}", sum["category"].as_str().unwrap(), sum["total"]))
            .collect::<Vec<_>>()
    };
    // In every currency in the spelling used most.
    assert_eq!(categories(0), ["meals 12.00"]);
    assert_eq!(categories(1), ["travel 229.90", "meals 13.50"]);
    assert_eq!(categories(2), ["meals 42.50"]);
    let page = browser.open("/expenses").await.expect(200);
    for option in ["meals", "travel"] {
        assert_has(&page, &[&format!("<option value=\"{option}\">{option}</option>")]);
    }
    assert!(!page.body.contains("<option value=\"Travel\""), "{}", page.body);
    let page = browser.open("/expenses?category=Travel").await.expect(200);
    assert_has(&page, &["<option value=\"travel\" selected>travel</option>", "3 expenses"]);
}

#[tokio::test]
async fn page_filters_by_amounts_as_they_are_typed() {
    let (_, mut browser) = app().await;
    let german = |path: &str| {
        request(Method::GET, path)
            .header(header::ACCEPT, "text/html")
            .header(header::ACCEPT_LANGUAGE, "de-DE")
    };
    let path = "/expenses?min_amount=42,50&max_amount=90+%E2%82%AC&q=&currency=&category=";
    let page = browser.send(german(path), Body::empty()).await.expect(200);
    assert_has(
        &page,
        &[
            "<details open>",
            "name=\"min_amount\" value=\"42,50\"",
            "name=\"max_amount\" value=\"90,00\"",
            "2 expenses",
            "href=\"/expenses.csv?min_amount=42.50&amp;max_amount=90.00&amp;sort=date\"",
        ],
    );
    let refused =
        "/expenses?min_amount=5&max_amount=4&currency=euro&q=%3Cb%3E&sort=created&category=x";
    let page = browser.send(german(refused), Body::empty()).await.expect(422);
    assert_has(
        &page,
        &[
            "name=\"min_amount\" value=\"5\"",
            "name=\"max_amount\" value=\"4\" aria-invalid=\"true\"",
            "The largest amount is less than the smallest",
            "href=\"#filter-currency\">Write the currency with three letters",
            "<option value=\"euro\" selected>",
            "name=\"q\" value=\"&lt;b&gt;\"",
            "<input type=\"hidden\" name=\"sort\" value=\"created\">",
        ],
    );
    assert_inert(&page);
    let page = browser.send(german("/expenses?min_amount=0"), Body::empty()).await.expect(422);
    assert_has(&page, &["Give an amount above zero, such as 42,50."]);
}

#[tokio::test]
async fn filter_refuses_an_amount_with_two_meanings() {
    let (_, mut browser) = app().await;
    for (typed, field) in [("min_amount=1.500", "min_amount"), ("max_amount=1,500", "max_amount")] {
        let page = browser.open(&format!("/expenses?{typed}")).await.expect(422);
        let link = format!("href=\"#{field}\">“1");
        assert_has(&page, &[&link, "can be read as 1500 or as a little more than 1."]);
        assert_inert(&page);
    }
    let page = browser.open("/expenses?min_amount=1+%E2%82%AC&currency=USD").await.expect(422);
    assert_has(&page, &["“€” stands for EUR, but the currency is USD"]);
    // Neither the page's own links nor its field are refused.
    let page = browser.open("/expenses?min_amount=1.2340").await.expect(200);
    assert_has(&page, &["name=\"min_amount\" value=\"1.2340\"", "min_amount=1.2340"]);
}

#[tokio::test]
async fn filtering_stays_at_the_list() {
    let (_, mut browser) = app().await;
    let page = browser.open("/expenses?q=lunch").await.expect(200);
    assert_has(
        &page,
        &[
            "<form class=\"filter\" method=\"get\" action=\"/expenses#list\"",
            "<h2 id=\"list\" tabindex=\"-1\">Filtered expenses</h2>",
            "href=\"/expenses#list\">Clear</a>",
            "href=\"/expenses?from=2026-11-01&amp;to=2026-11-30&amp;q=lunch#list\">This month</a>",
            "href=\"/expenses?from=2026-10-01&amp;to=2026-10-31&amp;q=lunch#list\">Last month</a>",
            "href=\"/expenses?from=2026-01-01&amp;to=2026-12-31&amp;q=lunch#list\">This year</a>",
            "href=\"/expenses?q=lunch&amp;sort=created#list\">Newest added</a>",
        ],
    );
    let month = "/expenses?from=2026-11-01&to=2026-11-30";
    let page = browser.open(month).await.expect(200);
    assert_has(&page, &["#list\" aria-current=\"true\">This month</a>", "4 expenses"]);
}

#[tokio::test]
async fn edits_and_deletions_return_to_the_filtered_list() {
    let (app, mut browser) = app().await;
    let whole = browser.open("/expenses").await.expect(200);
    assert!(!whole.body.contains("return_to"), "{}", whole.body);
    let page = browser.open("/expenses?q=lunch&zebra=%3Cb%3E&sort=created").await.expect(200);
    let back = "?return_to=%3Fq%3Dlunch%26sort%3Dcreated";
    let (_, link) = page.body.split_once("class=\"do\" role=\"cell\"><a href=\"").unwrap();
    let link = link.split('"').next().unwrap();
    let path = link.strip_suffix(back).unwrap();

    let form = browser.open(link).await.expect(200);
    let field = "<input type=\"hidden\" name=\"return_to\" value=\"?q=lunch&amp;sort=created\">";
    assert_has(&form, &[field, &format!("href=\"{path}/delete{back}\"")]);
    let list = "?q=lunch&sort=created";
    let fields = [("description", "Lunch again and again"), ("amount", "9"), ("return_to", list)];
    // A form that is refused keeps it.
    let refused = browser.submit(path, &[("amount", "0"), ("return_to", list)]).await.expect(422);
    assert_has(&refused, &[field]);
    let changed = browser.submit(path, &fields).await.expect(303);
    assert_eq!(changed.header("location"), "/expenses?q=lunch&sort=created#list");
    let address = changed.header("location").split('#').next().unwrap();
    let page = browser.open(address).await.expect(200);
    // The result is where the page is scrolled to.
    let (_, section) = page.body.split_once("id=\"list\"").unwrap();
    assert!(section.contains("Changed “<bdi>Lunch again and again</bdi>”"), "{}", page.body);
    assert_eq!(page.body.matches("role=\"status\"").count(), 1);

    let question = browser.open(&format!("{path}/delete{back}")).await.expect(200);
    assert_has(&question, &[field, "href=\"/expenses?q=lunch&amp;sort=created#list\">Cancel</a>"]);
    for (return_to, location) in [
        ("//evil.test/?q=a", "/expenses"),
        ("?q=a%0D%0Ab&next=//evil.test", "/expenses?q=a%0D%0Ab#list"),
        ("?currency=euro", "/expenses"),
    ] {
        let id = app.store_expense(ADA, "Soon gone");
        let fields = [("return_to", return_to)];
        let deleted = browser.submit(&format!("/expenses/{id}/delete"), &fields).await.expect(303);
        assert_eq!(deleted.header("location"), location);
        let fields = [("return_to", return_to)];
        let restored =
            browser.submit(&format!("/expenses/{id}/restore"), &fields).await.expect(303);
        assert_eq!(restored.header("location"), location);
    }
}
