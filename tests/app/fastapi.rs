//! Requests of all kinds get the responses that FastAPI with Pydantic gave: the status, and for every problem,
//! in order, `type`, `loc`, `msg` and the reason in `ctx`. `tests/vectors/fastapi.json` names the versions that
//! the responses were recorded from; today was 2026-11-23. The model was declared as:
//!
//! ```python
//! class Expense(BaseModel):
//!     model_config = ConfigDict(extra="forbid")
//!     description: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
//!     amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
//!     currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = "USD"
//!     category: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)] = "other"
//!     date: datetime.date = Field(default_factory=today)
//! ```
//!
//! `limit` as `Annotated[int, Query(ge=1, le=1000)] = 100`, the other parameters as the fields, or `None`;
//! `Idempotency-Key` as `Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]`;
//! a patch's fields as the expense's, all optional, those with a default also `None`.
//!
//! Where the response differs on purpose, the vector has an `ours` with the reason in `why`.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::{
    ADA, Client, TestApp,
    app::{ORIGIN, TestResponse},
};

#[derive(Deserialize)]
struct VectorFile {
    requests: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    method: String,
    /// `{id}` stands for the id of an existing expense.
    path: String,
    /// Default: `Content-Type: application/json`.
    headers: Option<Vec<(String, String)>>,
    #[serde(default)]
    body: String,
    /// A body that is not valid UTF-8.
    body_base64: Option<String>,
    status: u16,
    /// The members compared of every problem, or a text. FastAPI's 500 has none.
    detail: Option<Value>,
    /// Members of the expense created from the body. Amounts are texts with two decimal places.
    #[serde(default)]
    accepted: Map<String, Value>,
    ours: Option<Ours>,
}

#[derive(Deserialize)]
struct Ours {
    status: u16,
    detail: Option<Value>,
    why: String,
}

fn vectors() -> Vec<Vector> {
    let file = include_str!("../vectors/fastapi.json");
    serde_json::from_str::<VectorFile>(file).unwrap().requests
}

impl Vector {
    async fn send(&self, app: &TestApp, token: &str, id: &str) -> TestResponse {
        let uri = format!("{ORIGIN}{}", self.path.replace("{id}", id));
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(uri)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let json = vec![("content-type".to_owned(), "application/json".to_owned())];
        for (name, value) in self.headers.as_ref().unwrap_or(&json) {
            // Header values are encoded in ISO 8859-1.
            let value: Vec<u8> = value.chars().map(|char| u8::try_from(char).unwrap()).collect();
            request = request.header(name, value);
        }
        let body = match &self.body_base64 {
            Some(encoded) => STANDARD.decode(encoded).unwrap(),
            None => self.body.clone().into_bytes(),
        };
        app.send(request.body(body.into()).unwrap()).await
    }
}

/// `detail` in the form of the vectors.
fn detail(response: &TestResponse) -> Option<Value> {
    let response = response.json();
    let Some(problems) = response.get("detail")?.as_array() else {
        return response.get("detail").cloned();
    };
    let told = problems.iter().map(|problem| {
        let mut told = vec![&problem["type"], &problem["loc"], &problem["msg"]];
        told.extend(problem.get("ctx").and_then(|ctx| ctx.get("error")));
        json!(told)
    });
    Some(told.collect())
}

#[tokio::test]
async fn every_request_gets_the_recorded_fastapi_response() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let body = r#"{"description": "x", "amount": 1}"#;
    let id = app.bearer(&token).post("/expenses", body).await.expect(201).json()["id"].clone();
    let id = id.as_str().unwrap();
    let mut wrong = Vec::new();
    for vector in vectors() {
        let response = vector.send(&app, &token, id).await;
        let expected = match &vector.ours {
            Some(ours) => (ours.status, ours.detail.clone()),
            None => (vector.status, vector.detail.clone()),
        };
        let got = (response.status.as_u16(), detail(&response));
        let accepts_as_expected = vector.ours.is_some()
            || vector.accepted.iter().all(|(name, expected)| match (name.as_str(), expected) {
                ("amount", Value::String(amount)) => {
                    response.json()[name].as_number().is_some_and(|got| got.as_str() == amount)
                }
                _ => response.json()[name] == *expected,
            });
        if got != expected || !accepts_as_expected {
            let Vector { method, path, body, accepted, .. } = vector;
            wrong.push(format!(
                "{method} {path} {body}\n  {expected:?} {accepted:?}\n  {response:?}"
            ));
        }
        // The next request must not find this request's idempotency key.
        for key in app.kv.keys().iter().filter(|key| !key.ends_with(id)) {
            app.kv.remove_raw(key);
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_deviation_differs_and_gives_a_reason() {
    let vectors = vectors();
    assert!(vectors.len() > 400, "{}", vectors.len());
    for vector in vectors {
        let Some(ours) = vector.ours else { continue };
        assert!(!ours.why.is_empty(), "{}", vector.body);
        assert_ne!(
            (ours.status, ours.detail),
            (vector.status, vector.detail),
            "{} does not differ",
            vector.body
        );
    }
}
