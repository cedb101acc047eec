//! What media is, where its origin does not say.

use super::multivariant::Role;

/// The type of a resource by the ending of its path, for origins that send none or `text/plain`; `None`: not known.
pub fn content_type(path: &str, role: Option<Role>) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, ending) = name.rsplit_once('.')?;
    let fragmented = if role == Some(Role::Audio) { "audio/mp4" } else { "video/mp4" };
    Some(match ending.to_ascii_lowercase().as_str() {
        "ts" | "m2ts" => "video/mp2t",
        "m4s" | "mp4" | "cmfi" | "init" => fragmented,
        "m4v" | "cmfv" => "video/mp4",
        "m4a" | "cmfa" => "audio/mp4",
        "cmft" => "application/mp4",
        "aac" => "audio/aac",
        "mp3" => "audio/mpeg",
        "ac3" => "audio/ac3",
        "ec3" => "audio/eac3",
        "vtt" | "webvtt" => "text/vtt",
        "key" => "application/octet-stream",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_and_the_role_say_what_a_resource_is() {
        let table = [
            ("/live/v0/seg-1.m4s", None, Some("video/mp4")),
            ("/live/a0/part-1.2.M4S", Some(Role::Audio), Some("audio/mp4")),
            ("/live/a0/init.mp4", Some(Role::Audio), Some("audio/mp4")),
            ("/live/v1/seg-7.ts", Some(Role::Main), Some("video/mp2t")),
            ("/subs/1.vtt", Some(Role::Subtitles), Some("text/vtt")),
            ("/a.b/segment", None, None),
            ("/a/b.what", None, None),
        ];
        for (path, role, expected) in table {
            assert_eq!(content_type(path, role), expected, "{path}");
        }
    }
}
