//! `edge_host::json` against serde_json, on texts and on mutations of them.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use edge_host::json::{Malformed, read, read_bytes, write, write_to};
use proptest::{collection::vec, prelude::*, sample::select};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    v: u32,
    name: Cow<'static, str>,
    at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default)]
    is_done: bool,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    bytes: BTreeMap<String, u8>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Unit,
    Newtype(Vec<i8>),
    Struct {
        inner: Option<String>,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Part(Option<Box<Kind>>);

#[derive(Debug, PartialEq, Deserialize)]
struct BorrowedRow<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Keyed {
    numbers: BTreeMap<u32, u32>,
}

/// Texts that a [`Row`] may have, and texts that differ from them in one place.
const ROWS: &[&str] = &[
    r#"{"v":1,"name":"Ann"}"#,
    " { \"v\" : 1 ,\r\n\t\"name\" : \"Ann\" , \"at\" : -9223372036854775808 } ",
    r#"{"v":4294967295,"name":"\u00e9\ud83d\ude00\n\"\\","at":null,"is_done":true}"#,
    r#"{"v":1,"n\u0061me":"é","names":[],"at":3}"#,
    r#"{"v":1,"name":"","other":[{"v":[1.5e300,true,"]}\""]},{},[[]],null],"more":-0.0}"#,
    r#"{"v":1,"name":"","count":18446744073709551615,"at":9223372036854775807}"#,
    r#"{"v":1,"name":"","count":18446744073709551616}"#,
    r#"{"v":1,"name":"","count":-1}"#,
    r#"{"v":1,"name":"","at":9223372036854775808}"#,
    r#"{"v":1,"name":"","at":-9223372036854775809}"#,
    r#"{"v":1,"name":"","at":-0}"#,
    r#"{"v":1,"name":"","at":-01}"#,
    r#"{"v":1,"name":"","at":- 1}"#,
    r#"{"v":1,"name":"","at":--1}"#,
    r#"{"v":1,"name":"","at":-+1}"#,
    r#"{"v":+1,"name":""}"#,
    r#"{"v":4294967296,"name":""}"#,
    r#"{"v":-1,"name":""}"#,
    r#"{"v":1.0,"name":""}"#,
    r#"{"v":1e0,"name":""}"#,
    r#"{"v":"1","name":""}"#,
    r#"{"v":01,"name":""}"#,
    r#"{"v":,"name":""}"#,
    r#"{"v":0x1,"name":""}"#,
    r#"{"v":1,"v":1,"name":""}"#,
    r#"{"v":1,"\u0076":1,"name":""}"#,
    r#"{"v":1}"#,
    r#"{"v":1,"name":null}"#,
    r#"{"v":1,"name":"a""#,
    r#"{"v":1,"name":"a"}}"#,
    r#"{"v":1,"name":"a"} x"#,
    r#"{"v":1,"name":"a"}{"#,
    "{\"v\":1,\"name\":\"a\"}\u{feff}",
    "\u{feff}{\"v\":1,\"name\":\"a\"}",
    "{\"v\":1,\"name\":\"a\"}\u{a0}",
    "{\"v\":1,\"name\":\"a\"}\0",
    r#"{"v":1,"name":"a",}"#,
    r#"{"v":1,,"name":"a"}"#,
    r#"{"v":1 "name":"a"}"#,
    r#"{"v" 1,"name":"a"}"#,
    r#"{"v"::1,"name":"a"}"#,
    r#"{v:1,"name":"a"}"#,
    r#"{1:1,"v":1,"name":"a"}"#,
    r#"{null:1,"v":1,"name":"a"}"#,
    r#"{,"v":1,"name":"a"}"#,
    r#"{"v":1,"name":"a","is_done":tru}"#,
    r#"{"v":1,"name":"a","is_done":truely}"#,
    r#"{"v":1,"name":"a","is_done":true"x":1}"#,
    r#"{"v":1,"name":"a","is_done":1}"#,
    r#"{"v":1,"name":"a","at":nul}"#,
    r#"{"v":1,"name":"a","at":nulll}"#,
    r#"{"v":1,"name":"a","other":tru}"#,
    r#"{"v":1,"name":"a","other":1x}"#,
    r#"{"v":1,"name":"a","other":01}"#,
    r#"{"v":1,"name":"a","other":1.}"#,
    r#"{"v":1,"name":"a","other":[1,]}"#,
    r#"{"v":1,"name":"a","other":[}]}"#,
    r#"{"v":1,"name":"a","other":"\ud800"}"#,
    r#"{"v":1,"name":"a","other":"\x"}"#,
    r#"{"v":1,"name":"\ud800"}"#,
    r#"{"v":1,"name":"\ude00\ud83d"}"#,
    r#"{"v":1,"name":"\ud83d\u0041"}"#,
    r#"{"v":1,"name":"\u12"}"#,
    r#"{"v":1,"name":"\x"}"#,
    r#"{"v":1,"name":"\é"}"#,
    "{\"v\":1,\"name\":\"a\nb\"}",
    "{\"v\":1,\"name\":\"\\\n\"}",
    "{\"v\":1,\"name\":\"\u{7f}\0\"}",
    r#"{"v":1,"name":"a\"#,
    r#"{"v":1,"name":"a\"}"#,
    r#"{"v":1,"name":"a","names":["a",null]}"#,
    r#"{"v":1,"name":"a","names":["a","b"],"parts":[null,"unit",{"newtype":[0]}]}"#,
    r#"{"v":1,"name":"a","bytes":{"a":1,"b":255}}"#,
    r#"{"v":1,"name":"a","bytes":{"a":256}}"#,
    r#"{"v":1,"name":"a","bytes":{a:2}}"#,
    r#"{"v":1,"name":"a","names":{}}"#,
    r#"{"v":1,"name":"a","names":[}"#,
    "",
    " ",
    "{",
    "null",
    "1",
    "\"v\"",
];

const KINDS: &[&str] = &[
    r#""unit""#,
    r#""\u0075nit""#,
    r#"{"unit":null}"#,
    r#"{"unit":1}"#,
    r#"{"unit"}"#,
    r#"{"unit":}"#,
    r#"{"newtype":[]}"#,
    r#"{"newtype":[1, 2 ,127,-128]}"#,
    r#"{"newtype":[1,128]}"#,
    r#"{"newtype":[1 2]}"#,
    r#"{"newtype":[1,]}"#,
    r#"{"newtype":[,1]}"#,
    r#"{"newtype":[1}]"#,
    r#""newtype""#,
    r#""struct""#,
    r#"{"struct":{}}"#,
    r#"{"struct":null}"#,
    r#"{"struct":{"inner":"a"}}"#,
    r#"{"struct":{"inner":null,"inner":null}}"#,
    r#"{"struct":{"inner":"a"},"unit":null}"#,
    r#"{"struct":{"inner":"a"},}"#,
    r#"{"other":null}"#,
    r#""other""#,
    "unit",
    "{}",
    "[]",
    "null",
];

fn assert_as_serde_json<T: DeserializeOwned + PartialEq + Debug>(text: &str) {
    assert_eq!(read::<T>(text).ok(), serde_json::from_str::<T>(text).ok(), "{text}");
}

#[test]
fn read_agrees_with_serde_json() {
    ROWS.iter().for_each(|text| assert_as_serde_json::<Row>(text));
    KINDS.iter().for_each(|text| assert_as_serde_json::<Kind>(text));
    for text in ["1", "1 ", "-1", "1 1", "1,", "\"\"", "[]", "", "null"] {
        assert_as_serde_json::<Option<u8>>(text);
        assert_as_serde_json::<String>(text);
        assert_as_serde_json::<Vec<u8>>(text);
        assert_as_serde_json::<()>(text);
    }
    for text in ["[1,\"a\"]", "[1]", "[]", "[1,\"a\",2]", "[1,\"a\",]", "[1,\"a\"", "[1,2]", "{}"] {
        assert_as_serde_json::<(u8, String)>(text);
    }
}

#[test]
fn read_borrows_strings_without_escapes() {
    let row: BorrowedRow<'_> = read(r#"{"name":"Ann"}"#).unwrap();
    assert!(matches!(row.name, Cow::Borrowed("Ann")));
    let row: BorrowedRow<'_> = read(r#"{"name":"Ann\n"}"#).unwrap();
    assert!(matches!(row.name, Cow::Owned(name) if name == "Ann\n"));
}

#[test]
fn read_refuses_arrays_as_structs() {
    assert_eq!(read::<BorrowedRow<'_>>(r#"["a"]"#), Err(Malformed));
    assert_eq!(read::<Kind>(r#"{"struct":["a"]}"#), Err(Malformed));
}

#[test]
fn read_refuses_types_that_it_cannot_read() {
    assert_eq!(read::<f64>("1"), Err(Malformed));
    assert_eq!(read::<Keyed>(r#"{"numbers":{"1":2}}"#), Err(Malformed));
    assert_eq!(read::<Keyed>(r#"{"numbers":{1:2}}"#), Err(Malformed));
}

#[test]
fn value_of_any_type_is_a_string_or_an_object() {
    for text in [r#""a""#, r#"{"a":"b","c":"\n"}"#, "{}"] {
        assert_eq!(read(text), Ok(serde_json::from_str::<serde_json::Value>(text).unwrap()));
    }
    for text in ["null", "true", "[]", "-1", "", r#"{"a":1}"#, r#"{"a":[]}"#, r#"{"a":{}}"#] {
        assert_eq!(read::<serde_json::Value>(text), Err(Malformed), "{text}");
    }
}

#[test]
fn read_skips_unknown_members_of_any_depth() {
    let deep = format!(r#"{{"other":{}{},"name":"a"}}"#, "[".repeat(99_999), "]".repeat(99_999));
    assert!(read::<BorrowedRow<'_>>(&deep).is_ok());
    let unclosed = format!(r#"{{"other":{}"#, "[".repeat(99_999));
    assert_eq!(read::<BorrowedRow<'_>>(&unclosed), Err(Malformed));
}

#[test]
fn bytes_must_be_utf8() {
    assert!(read_bytes::<BorrowedRow<'_>>("{\"name\":\"é\"}".as_bytes()).is_ok());
    assert_eq!(read_bytes::<BorrowedRow<'_>>(b"{\"name\":\"\xff\"}"), Err(Malformed));
    assert_eq!(
        read_bytes::<BorrowedRow<'_>>(b"{\"name\":\"\",\"other\":\"\xff\"}"),
        Err(Malformed)
    );
}

/// What serde may hand to a writer beside what a [`Row`] has.
#[derive(Serialize)]
enum Shape {
    Tuple(u8, bool),
    Unit,
}

#[derive(Serialize)]
struct Nothing;

#[derive(Serialize)]
struct Shapes {
    shapes: (Shape, Shape, Nothing, char),
    newtype: Part,
    integers: (i8, i16, i32, i64, u8, u16, u32, u64, i128, u128),
    fractions: (f64, f64, f64, f32, f32),
    by_kind: BTreeMap<char, Option<()>>,
    empty: (Vec<u8>, BTreeMap<String, u8>),
}

#[test]
fn write_agrees_with_serde_json() {
    let shapes = Shapes {
        shapes: (Shape::Tuple(7, true), Shape::Unit, Nothing, '"'),
        newtype: Part(None),
        integers: (-128, -2, -3, i64::MIN, 255, 5, 6, u64::MAX, i128::MIN, u128::MAX),
        fractions: (0.1, -0.0, 1.0, 2.5, f32::INFINITY),
        by_kind: [('a', Some(())), ('\\', None)].into(),
        empty: (vec![], BTreeMap::new()),
    };
    assert_eq!(write(&shapes), serde_json::to_string(&shapes).unwrap());
    for text in ["1.10", "-3", "18446744073709551615", r#"{"a":[1.5,{"b":null}],"\"":"\u0001"}"#] {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(write(&value), serde_json::to_string(&value).unwrap());
    }
    let all_ascii = String::from_iter('\0'..='\x7f');
    for start in 0..9 {
        let text = &all_ascii[start..];
        assert_eq!(write(text), serde_json::to_string(text).unwrap());
    }
}

#[test]
fn write_adds_nothing_for_what_json_cannot_have() {
    let mut json = b"[".to_vec();
    write_to(&mut json, &BTreeMap::from([(1, 2)]));
    assert_eq!(json, b"[");
    assert_eq!(write(&BTreeMap::from([((), 2)])), "");
}

/// Pieces that a mutation inserts.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "0",
    "1",
    "-",
    "+",
    ".",
    "e",
    "null",
    "true",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\\"",
    "\"v\":1,",
    "\"other\":[{\"a\":1.5}],",
    "\u{1}",
    "é",
    "9999999999999999999",
];

fn text() -> impl Strategy<Value = String> {
    let special = select(&['"', '\\', '\n', '\0', '\u{1f}', '\u{7f}', 'é', '😀', 'n', 'u'][..]);
    vec(prop_oneof![any::<char>(), special], 0..6).prop_map(String::from_iter)
}

fn row() -> impl Strategy<Value = Row> {
    let kind = prop_oneof![
        Just(Kind::Unit),
        vec(any::<i8>(), 0..3).prop_map(Kind::Newtype),
        prop::option::of(text()).prop_map(|inner| Kind::Struct { inner }),
    ];
    let parts = any::<bool>().prop_map(|is_unit| Part(is_unit.then(|| Box::new(Kind::Unit))));
    (
        (
            any::<u32>(),
            text(),
            prop::option::of(any::<i64>()),
            prop::option::of(any::<u64>()),
            any::<bool>(),
        ),
        (vec(text(), 0..3), kind, vec(parts, 0..3)),
        prop::collection::btree_map(text(), any::<u8>(), 0..3),
    )
        .prop_map(|((v, name, at, count, is_done), (names, kind, parts), bytes)| Row {
            v,
            name: name.into(),
            at,
            count,
            is_done,
            names,
            kind,
            parts,
            bytes,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_rows_are_read_back(row in row(), is_pretty in any::<bool>()) {
        let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        prop_assert_eq!(read::<Row>(&write(&row).unwrap()), Ok(row));
    }

    #[test]
    fn rows_are_written_as_by_serde_json(row in row()) {
        prop_assert_eq!(write(&row), serde_json::to_string(&row).unwrap());
    }

    #[test]
    fn mutated_texts_are_read_as_by_serde_json(
        row in row(),
        mutations in vec((any::<prop::sample::Index>(), 0_usize..3, select(PIECES)), 1..4),
    ) {
        let mut text: Vec<char> = serde_json::to_string(&row).unwrap().chars().collect();
        for (index, removed, piece) in mutations {
            let at = index.index(text.len() + 1);
            text.splice(at..text.len().min(at + removed), piece.chars());
        }
        let text = String::from_iter(text);
        // serde_json reads a struct from an array, too.
        prop_assume!(!text.starts_with('[') && !text.contains("\"struct\":["));
        prop_assert_eq!(read::<Row>(&text).ok(), serde_json::from_str::<Row>(&text).ok(), "{}", text);
    }
}
