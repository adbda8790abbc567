//! Sealed values: the input as a sealed value, and the input properly sealed, alone or beside valid members.

use std::sync::LazyLock;

use axum_authkit::{
    seal::{Purpose, Sealer},
    secret::Secret,
    session::Session,
};

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let password = |text: &str| Secret::from(text);
    let current = password("a password of at least 32 characters");
    let previous = password("the password before, of 32 characters");
    Sealer::new(Purpose::Session, &current, Some(&previous))
});

pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        // The fuzzer cannot guess an authentication tag.
        assert!(SEALER.open(text).is_err());
        assert!(Session::open(text, &SEALER).is_err());
    }

    let opened = SEALER.open(&SEALER.seal(data));
    assert!(opened.is_ok_and(|opened| opened.plaintext == data && !opened.by_previous_password));

    let members = [br#"{"access_token":"a","refresh_token":"r","user":"#, data, b"}"].concat();
    for plaintext in [data, &members] {
        if let Ok(opened) = Session::open(&SEALER.seal(plaintext), &SEALER) {
            let again = Session::open(&opened.session.seal(&SEALER), &SEALER);
            assert!(again.is_ok_and(|again| again == opened));
        }
    }
}
