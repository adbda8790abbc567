//! The query of the list, the summary, the CSV and the page.

use http::Method;

use super::{
    form,
    router::{browser, expect_no_failure, get, query, run},
    support::ADA,
};

pub fn check(data: &[u8]) {
    form::check_parameters(data);
    let query = query(data);
    run(async |app| {
        let mut ids = Vec::new();
        for description in ["Lunch", "<fuzz> & 'Dinner'", "=1+1"] {
            ids.push(app.store_expense(ADA, description));
            app.clock.advance(chrono::Duration::seconds(1));
        }
        let list = get(app, &format!("/expenses?{query}")).await;
        expect_no_failure(&list);
        if list.status == 200 {
            let json = list.json();
            let listed: Vec<&str> = json
                .as_array()
                .unwrap()
                .iter()
                .map(|expense| expense["id"].as_str().unwrap())
                .collect();
            // Newest first, each one once.
            let known: Vec<&str> =
                ids.iter().rev().map(String::as_str).filter(|id| listed.contains(id)).collect();
            assert_eq!(listed, known);
            // The next page is a page, too.
            if let Some((path, _)) =
                list.header("link").strip_prefix('<').and_then(|link| link.split_once('>'))
            {
                get(app, path).await.expect(200);
            }
        }
        for path in ["/expenses/summary", "/expenses.csv"] {
            expect_no_failure(&get(app, &format!("{path}?{query}")).await);
        }
        expect_no_failure(&browser(app, Method::GET, &format!("/expenses?{query}"), b"").await);
    });
}
