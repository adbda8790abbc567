//! A webhook. The first line is the header with the signature, the rest is the body; then the body with the right
//! signature.

use edge_host::Clock as _;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use sha2::Sha256;

use super::router::{expect_no_failure, get, run_with, stranger};

const PATH: &str = "/webhooks/workos";
const HEADER: &str = "workos-signature";
const SECRET: &str = "whsec_of_this_endpoint";

#[derive(Deserialize)]
struct Event {
    event: String,
}

pub fn check(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (line, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    run_with(&[("WORKOS_WEBHOOK_SECRET", SECRET)], async |app| {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(HEADER, value);
        }
        // The fuzzer cannot guess a signature.
        stranger(app, Method::POST, PATH, &headers, body).await.expect(400);

        let time = app.clock.now().timestamp_millis();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        let v1 = base16ct::lower::encode_string(&mac.finalize().into_bytes());
        headers.insert(HEADER, HeaderValue::from_str(&format!("t={time}, v1={v1}")).unwrap());
        let response = stranger(app, Method::POST, PATH, &headers, body).await;
        expect_no_failure(&response);
        if response.status.is_success() {
            // Its other members may have invalid escapes.
            let event: Event = serde_json::from_slice(body).unwrap();
            assert!(!event.event.is_empty());
        } else {
            assert_eq!(response.status, 400, "{response:?}");
        }
        get(app, "/expenses").await;
    });
}
