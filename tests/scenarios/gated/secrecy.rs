//! No token and no session in what the node writes, tells or asks: every log, every page of the admin API, every answer
//! and every request upstream are searched for pieces of all that were used.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::Method;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{MAIN, Stream, body, gated, named, play, token};
use crate::stage::{Setup, Stage, WAYS, tell};

/// What is written to the process's log.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Every piece of sixteen characters of a secret.
fn leaks<'t>(text: &str, secrets: &'t [String]) -> Option<&'t str> {
    let pieces = |secret: &'t String| {
        (0..=secret.len().saturating_sub(16)).map(move |at| &secret[at..(at + 16).min(secret.len())])
    };
    secrets.iter().flat_map(pieces).find(|piece| text.contains(*piece))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn nothing_that_the_node_writes_tells_or_asks_has_a_token_or_a_session() {
    let log = Sink::default();
    // The process's other stories wait while a line is written: none is of the libraries, the clients or the tests.
    let filter = EnvFilter::new("off,weir=trace,weir_loadtest=off");
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log.clone());
    // Another story's subscriber would hear all there is too.
    let is_heard = tracing::subscriber::set_global_default(subscriber.finish()).is_ok();
    for way in WAYS {
        let stream = Stream::start().await;
        let folder = tempfile::tempdir().unwrap();
        let access_log = folder.path().join("access.log");
        let setup = gated(&stream.origin, "");
        let setup = Setup { tables: format!("{}\n[access_log]\npath = {access_log:?}\n", setup.tables), ..setup };
        let mut secrets = Vec::new();
        tell(way, setup, async |stage: &Stage| {
            let mut told = String::new();
            let tokens: Vec<_> = ["path", "bearer", "cookie", "query"].map(token).into();
            let (bearer, cookie) = (format!("Bearer {}", tokens[1]), format!("token={}", tokens[2]));
            let referer = format!("https://localhost/.weir/t/{}/x?token={}", tokens[0], tokens[3]);
            for (path, fields) in [
                (format!("/.weir/t/{}{MAIN}", tokens[0]), vec![]),
                (MAIN.to_owned(), vec![("authorization", bearer.as_str())]),
                (MAIN.to_owned(), vec![("cookie", cookie.as_str()), ("referer", &referer)]),
                (format!("{MAIN}?token={}", tokens[3]), vec![]),
            ] {
                let asked = play(stage, &stream, &path, &fields).await;
                secrets.push(asked[1].split('/').nth(3).unwrap().to_owned());
            }
            // Refusals and strange paths, whose lines and bodies are searched as well.
            let session = secrets[0].clone();
            for path in [
                format!("/.weir/t/{}/live/b/x", tokens[0]),
                format!("/.weir/s/{session}x/live/a/x"),
                format!("/.weir/s/{session}/open/x"),
                format!("/live/a/v/.weir/s/{session}/x"),
                format!("/%2Eweir/s/{session}/x"),
                format!("/x/../.weir/t/{}/x", tokens[0]),
                format!("/live/a//x?token={}", tokens[3]),
                format!("/live/a/x?token={}&token={}", tokens[3], tokens[0]),
            ] {
                let answer = stage.get_with(&path, &[("referer", &referer)]).await;
                assert!(answer.status.is_client_error(), "{path}");
                told += &format!("{:?}\n", answer.headers);
                told += &body(answer).await;
            }
            let segment = named(&body(stage.get(&format!("/.weir/s/{session}/live/a/v/hi.m3u8")).await).await, "s100");
            let answer = stage.get(&format!("/.weir/s/{session}/live/a/v/{segment}")).await;
            told += &format!("{:?}\n", answer.headers);
            for page in ["/status", "/metrics"] {
                told += &stage.admin(Method::GET, page, "").await.1;
            }
            for url in [
                format!("/.weir/s/{session}/live/a/v/hi.m3u8"),
                format!("{MAIN}?token={}", tokens[3]),
                format!("/live/a/v/.weir/s/{session}/x"),
            ] {
                let (_, text) = stage.admin(Method::GET, &format!("/explain?url={url}"), "").await;
                assert!(text.contains("verdict"), "{text}");
                told += &text;
            }
            let stories = stage.node.stories();
            stories.close().await;
            let kept = stories.log().read(1, usize::MAX).await.unwrap();
            assert!(kept.len() > 20, "{}", kept.len());
            let lines = kept.iter().map(|numbered| String::from_utf8_lossy(&numbered.record.line).into_owned());
            let lines = lines.collect::<Vec<_>>().join("\n");
            for hidden in ["127.0.0.1", "token=", "path\"?", "bearer@", "referer"] {
                assert!(!lines.contains(hidden), "{hidden} in {lines}");
            }
            told += &lines;
            secrets.extend(tokens);
            assert_eq!(leaks(&told, &secrets), None, "{told}");
            assert_eq!(leaks(&stream.heard(), &secrets), None, "{}", stream.heard());
        })
        .await;
        let lines = std::fs::read_to_string(&access_log).unwrap();
        assert!(lines.lines().count() > 20 && lines.contains("/live/a/v/hi.m3u8"), "{lines}");
        assert_eq!(leaks(&lines, &secrets), None, "{lines}");
        let logged = std::mem::take(&mut *log.0.lock().unwrap());
        let logged = String::from_utf8_lossy(&logged);
        assert!(!is_heard || logged.contains(" weir::"), "{logged}");
        assert_eq!(leaks(&logged, &secrets), None);
    }
}
