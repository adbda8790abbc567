//! A CSV file to import: the query on the first line, the file on the others. The page's form and a program's form have the
//! same file.

use http::{HeaderMap, HeaderValue, Method, header};

use super::{
    router::{api, browser_form, expect_no_failure, get, query, run},
    support::app::TestResponse,
};

pub fn check(data: &[u8]) {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, file) = (&data[..line], data.get(line + 1..).unwrap_or_default());
    let path = format!("/expenses/import?{}", query(first));
    run(async |app| {
        let post = async |content_type: &'static str, body: &[u8]| -> TestResponse {
            let headers = HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(content_type),
            )]);
            api(app, Method::POST, &path, &headers, body).await
        };
        let imported = post("text/csv", file).await;
        expect_no_failure(&imported);
        let listed = get(app, "/expenses?limit=1000").await.expect(200).json();
        let count = listed.as_array().unwrap().len() as u64;
        if imported.status == 200 {
            let counts = imported.json();
            assert_eq!(counts["added"], count);
            let again = post("text/csv", file).await.expect(200).json();
            assert_eq!(again["added"], 0);
            // An import of the export adds nothing.
            let export = get(app, "/expenses.csv").await.expect(200).body;
            let back = api_csv(app, export.as_bytes()).await.expect(200).json();
            assert_eq!((&back["added"], &back["unchanged"]), (&0.into(), &count.into()));
            assert_eq!(get(app, "/expenses.csv").await.expect(200).body, export);
        } else {
            assert_eq!(count, 0, "{imported:?}");
        }
        let type_of_form = "multipart/form-data; boundary=b";
        expect_no_failure(&post(type_of_form, file).await);
        let form =
            [b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n", file, b"\r\n--b--"];
        expect_no_failure(&browser_form(app, &path, type_of_form, &form.concat()).await);
    });
}

async fn api_csv(app: &super::support::TestApp, file: &[u8]) -> TestResponse {
    let csv = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/csv"))]);
    api(app, Method::POST, "/expenses/import", &csv, file).await
}
