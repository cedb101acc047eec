//! What `weir session` prints, compared with the page that shows it.

use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/timeline.md");

fn incident() -> Story {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/timeline/incident.json");
    let entries: Entries = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let id = SessionId::read(&entries.session).unwrap();
    let node: std::sync::Arc<str> = entries.node.into();
    let read = |entry| Told { node: node.clone(), entry: serde_json::from_value(entry).unwrap() };
    story(id, &entries.entries.into_iter().map(read).collect::<Vec<_>>()).unwrap()
}

/// The block of the page that follows a command, made anew where that is asked for.
fn shown(command: &str, text: &str) -> String {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let start = page.find(command).unwrap() + command.len();
    let end = start + page[start..].find("```").unwrap();
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(PAGE, [&page[..start], text, &page[end..]].concat()).unwrap();
        return text.to_owned();
    }
    page[start..end].to_owned()
}

fn others() -> Vec<Others> {
    let one = r#"{"sessions":2,"examined":31,"complete":true,"streams":{"live/one":2},"protocols":{"h2":1,"h3":1},
        "countries":{"DE":2},"found":[
        {"support_code":"T3HK-55Q0","headline":"Playback stalled for 6.1 s at 20:30:23: origin main was slow, up to 7.9 s for live/one/v1/41.2.mp4 (fault: origin)."},
        {"support_code":"9ZC2-M0KA","headline":"Delivery was held up for 7.8 s from 20:30:22: origin main was slow, up to 7.8 s for live/one/v2/41.2.mp4 (fault: origin)."}]}"#;
    vec![serde_json::from_str(one).unwrap(), Others { complete: true, ..Others::default() }]
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let story = incident();
    let told = text(&story);
    assert_eq!(told, shown("$ weir session BW61-WB9V\n", &told).as_str(), "WEIR_BLESS=1 makes it anew");
    let others = others_text(&story, &others());
    let others = others.trim_start();
    assert_eq!(others, shown("$ weir session BW61-WB9V --others | tail -7\n", others).as_str());
}

#[test]
fn nothing_that_a_player_says_is_obeyed_by_a_terminal() {
    let mut story = incident();
    story.who.player = Some("\u{1b}[2J".to_owned());
    story.who.nodes.push("edge\u{7}2".to_owned());
    let text = text(&story);
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text}");
}

#[test]
fn others_of_a_name_are_listed_with_what_happened_to_them() {
    let story = incident();
    let row = |session: &str, ended| Row {
        session: session.to_owned(),
        support_code: "9ZC2-M0KA".to_owned(),
        ended,
        headline: "Nothing went wrong: 58.2 s played, no stall.".to_owned(),
        ..Row::default()
    };
    let rows = [row(&story.session.to_string(), 2), row("000102030405060708090a0b", 1)];
    let text = more_text(&story, &rows);
    assert!(text.contains("1 more of this name") && text.contains("000102030405060708090a0b"), "{text}");
    assert_eq!(more_text(&story, &rows[..1]), "");
}

#[test]
fn where_nothing_went_wrong_nobody_else_had_it() {
    let mut story = incident();
    story.cause = Cause::NothingWrong;
    assert!(others_text(&story, &others()).contains("nothing went wrong"));
    story.cause = Cause::Revoked;
    assert!(others_text(&story, &[]).starts_with("\nnobody else had the same (revoked)"));
}
