//! An issuer of tokens in ten lines: `cargo run --example issuer -- KEY.pem KID SUBJECT PATH SECONDS` prints a token.
//! The page "Gate a stream" shows these lines, beside those for other languages.
#![expect(clippy::disallowed_methods, reason = "a backend reads its own clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [key, kid, subject, path, seconds] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "KEY KID SUBJECT PATH SECONDS")?;
    let key = EncodingKey::from_ec_pem(&std::fs::read(key)?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let claims = serde_json::json!({
        "iss": "https://paywall.example", "aud": "weir-edge", "sub": subject,
        "path": path, "iat": now, "exp": now + seconds.parse::<i64>()?,
    });
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::ES256) };
    println!("{}", encode(&header, &claims, &key)?);
    Ok(())
}
