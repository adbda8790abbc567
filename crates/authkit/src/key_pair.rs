//! A key pair as WorkOS has them, for tests: signs tokens, and gives the key set its public key.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey, pkcs8::DecodePrivateKey, traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub struct KeyPair {
    pub kid: &'static str,
    private: RsaPrivateKey,
}

impl KeyPair {
    pub fn new(kid: &'static str, pem: &str) -> Self {
        Self { kid, private: RsaPrivateKey::from_pkcs8_pem(pem).unwrap() }
    }

    /// The public key as a member of a key set.
    pub fn jwk(&self) -> Value {
        let public = RsaPublicKey::from(&self.private);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(public.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(public.e().to_bytes_be()),
        })
    }

    pub fn header(&self) -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": self.kid})
    }

    /// Signs a token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// Signs a JWS over exactly these bytes.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{payload}");
        let digest = Sha256::digest(&signed);
        let signature = self.private.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
