//! The small tables: `[node]`, `[cache]`, `[access_log]`, `[shutdown]`, `[metrics]`, `[admin]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::machine::{Machine, is_token};
use super::{
    AccessLog, Admin, AdminToken, Cache, Disk, DiskEngine, LogFormat, LogPath, Metrics, Node, Role, Shutdown, access,
    checks, material, secrets, value,
};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// Below this nothing useful fits.
const LEAST_MEMORY: u64 = 8 << 20;
/// The disk is divided into segments, and the largest object takes a quarter of it.
const LEAST_DISK: u64 = 16 << 20;

/// `[node]`
pub(super) fn node(section: Option<Section<'_>>, machine: &Machine, base: &Path) -> Node {
    let mut node =
        Node { name: machine.name.clone(), region: None, workers: machine.cores, state: None, secrets: None };
    let Some(mut section) = section else { return node };
    if let Some(name) = section.value("name") {
        node.name = token(&name).unwrap_or(node.name);
    }
    node.region = section.value("region").and_then(|value| token(&value));
    if let Some(value) = section.value("workers") {
        let workers = value.count(1..=255).and_then(|count| usize::try_from(count).ok());
        node.workers = workers.unwrap_or(node.workers);
        if node.workers > machine.cores {
            let complaint = Complaint::new(format!("more workers than the {} cores of this machine", machine.cores));
            value.place.warn(complaint.found(value.place.typed()).remedy("leave the key out: one worker per core"));
        }
    }
    node.state = section.value("state").and_then(|value| folder(&value, base));
    node.secrets = section.value("secrets").and_then(|value| secrets::secrets(&value, base));
    section.finish();
    node
}

/// A folder that exists, or that can be made when the node starts.
fn folder(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    let path = base.join(value.text()?);
    let nearest = path.ancestors().find(|folder| folder.exists());
    if let Some(file) = nearest.filter(|folder| !folder.is_dir()) {
        let complaint = Complaint::new("there is a file in the folder's place").found(file.display().to_string());
        value.place.refuse(complaint.accepted("a folder; it is made when the node starts").remedy("name another"));
        return None;
    }
    Some(path)
}

fn token(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if !is_token(text) {
        let complaint = Complaint::new("not a token (RFC 9110 §5.6.2)").found(value.place.typed());
        value.place.refuse(complaint.accepted("letters, digits, and `-`, `_` or `.` between them"));
        return None;
    }
    Some(text.to_owned())
}

/// `[cache]`
pub(super) fn cache(section: Option<Section<'_>>, machine: &Machine, base: &Path) -> Cache {
    let memory = (machine.memory / 2).max(LEAST_MEMORY);
    let mut cache = Cache {
        memory,
        max_object: 128 << 20,
        live_reserve: Duration::from_secs(60),
        uncacheable_for: Duration::from_secs(10),
        disk: None,
    };
    let Some(mut section) = section else { return fitted(cache) };
    if let Some(value) = section.value("memory") {
        if let Some(memory) = value.size(LEAST_MEMORY..=1 << 50) {
            cache.memory = memory;
        }
        if cache.memory > machine.memory {
            let most = value::rough_size(machine.memory);
            let complaint = Complaint::new(format!("more memory than the {most} that this process may use"));
            let half = value::rough_size(machine.memory / 2);
            let remedy = format!("connections and TLS come on top: half, {half}, is the default");
            value.place.refuse(complaint.found(value.place.typed()).accepted(format!("at most {most}")).remedy(remedy));
        } else if cache.memory > machine.memory / 10 * 8 {
            let complaint = Complaint::new("more than 80 % of the memory that this process may use");
            value.place.warn(complaint.found(value.place.typed()).remedy("leave room for connections and TLS"));
        }
    }
    let max_object = section.value("max_object");
    let size = max_object.as_ref().and_then(|value| value.size(1 << 10..=1 << 50));
    match (max_object, size) {
        (Some(value), Some(size)) if size > cache.memory => {
            let complaint = Complaint::new("an object of this size never fits into the memory cache");
            let accepted = format!("at most `memory`, {}", value::rough_size(cache.memory));
            value.place.refuse(complaint.found(value.place.typed()).accepted(accepted));
        }
        (_, Some(size)) => cache.max_object = size,
        (_, None) => cache = fitted(cache),
    }
    let live_reserve = section.value("live_reserve").and_then(|value| value.time(ms(0..HOUR_MS)));
    cache.live_reserve = live_reserve.unwrap_or(cache.live_reserve);
    cache.disk = section.table("disk").and_then(|section| disk(section, base));
    let uncacheable_for = section.value("uncacheable_for").and_then(|value| value.time(ms(0..HOUR_MS)));
    cache.uncacheable_for = uncacheable_for.unwrap_or(cache.uncacheable_for);
    section.finish();
    cache
}

/// What reads and writes files, by its word.
pub(super) const DISK_ENGINES: [(&str, DiskEngine); 3] =
    [("auto", DiskEngine::Auto), ("io_uring", DiskEngine::IoUring), ("threads", DiskEngine::Threads)];

/// `disk` in `[cache]`
fn disk(mut section: Section<'_>, base: &Path) -> Option<Disk> {
    let path = section.required("path", "\"/var/cache/weir\"").and_then(|value| folder(&value, base));
    let size = section.required("size", "\"200GiB\"").and_then(|value| value.size(LEAST_DISK..=1 << 50));
    let engine = section.value("engine").map(|value| value.choice(&DISK_ENGINES));
    section.finish();
    Some(Disk { path: path?, size: size?, engine: engine.flatten().unwrap_or(DiskEngine::Auto) })
}

/// The default for the largest object is no more than half of a small cache.
fn fitted(cache: Cache) -> Cache {
    Cache { max_object: cache.max_object.min(cache.memory / 2), ..cache }
}

/// `[access_log]`
pub(super) fn access_log(section: Option<Section<'_>>, base: &Path) -> Option<AccessLog> {
    let mut section = section?;
    let path = section.value("path").and_then(|value| log_path(&value, base));
    let words = [("json", LogFormat::Json), ("combined", LogFormat::Combined), ("w3c", LogFormat::W3c)];
    let format = section.value("format").and_then(|value| value.choice(&words));
    section.finish();
    Some(AccessLog { path: path.unwrap_or(LogPath::Stdout), format: format.unwrap_or(LogFormat::Json) })
}

fn log_path(value: &Value<'_>, base: &Path) -> Option<LogPath> {
    let text = value.text()?;
    if text == "stdout" {
        return Some(LogPath::Stdout);
    }
    let path = base.join(text);
    let folder = path.parent().unwrap_or(base);
    if !folder.is_dir() {
        let complaint = Complaint::new("the log's folder does not exist").found(folder.display().to_string());
        value
            .place
            .refuse(complaint.accepted("\"stdout\", or a file in a folder that exists").remedy("make the folder"));
        return None;
    }
    Some(LogPath::File(path))
}

/// `[shutdown]`
pub(super) fn shutdown(section: Option<Section<'_>>) -> Shutdown {
    let mut shutdown = Shutdown { delay: Duration::ZERO, deadline: Duration::from_secs(30) };
    let Some(mut section) = section else { return shutdown };
    let mut time = |key, default| section.value(key).and_then(|value| value.time(ms(0..DAY_MS))).unwrap_or(default);
    shutdown.delay = time("delay", shutdown.delay);
    shutdown.deadline = time("deadline", shutdown.deadline);
    section.finish();
    shutdown
}

/// `[metrics]`
pub(super) fn metrics(section: Option<Section<'_>>) -> Metrics {
    let mut metrics = Metrics { streams: 500 };
    let Some(mut section) = section else { return metrics };
    let streams = section.value("streams").and_then(|value| value.count(0..=100_000));
    metrics.streams = streams.and_then(|streams| usize::try_from(streams).ok()).unwrap_or(metrics.streams);
    section.finish();
    metrics
}

/// `[admin]`
pub(super) fn admin(section: Option<Section<'_>>, base: &Path, defined: &[access::Typed<'_>]) -> Admin {
    let defined: Vec<&str> = defined.iter().map(|typed| typed.name.as_str()).collect();
    let mut admin = Admin::default();
    let Some(mut section) = section else { return admin };
    let tokens = section.value("tokens").map(|value| value.tables()).unwrap_or_default();
    admin.tokens = tokens.into_iter().filter_map(|token| admin_token(token, base, &defined)).collect();
    admin.certificate = section.table("certificate").and_then(|pair| material::certificate(pair, base));
    admin.client_ca = section.value("client_ca").and_then(|value| material::authorities(&value, base));
    admin.ready_needs_origins = section.value("ready_needs_origins").and_then(|value| value.flag()).unwrap_or(false);
    section.finish();
    admin
}

/// What roles are called.
const ROLES: [(&str, Role); 6] = [
    ("view", Role::View),
    ("revoke", Role::Revoke),
    ("purge", Role::Purge),
    ("operate", Role::Operate),
    ("release", Role::Release),
    ("erase", Role::Erase),
];

fn admin_token(mut section: Section<'_>, base: &Path, defined: &[&str]) -> Option<AdminToken> {
    let file = section.required("file", "\"admin.token\"");
    let roles = section.required("roles", "[\"view\"]");
    let access = section.value("access");
    section.finish();
    let secret = file.and_then(|value| material::secret(&value, base));
    let roles = roles?;
    let list = roles.list()?;
    if list.is_empty() {
        let words: Vec<_> = ROLES.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let complaint = Complaint::new("a token without a role can do nothing");
        roles.place.refuse(complaint.accepted(words.join(", ")).remedy("name a role, or remove the token"));
    }
    let typed = list.len();
    let roles: Vec<Role> = list.iter().filter_map(|role| role.choice(&ROLES)).collect();
    let may_end = roles.contains(&Role::Revoke) || roles.contains(&Role::Erase);
    if let Some(value) = access.as_ref().filter(|_| !may_end && roles.len() == typed) {
        let complaint = Complaint::new("`access` says whose sessions a token may end, and this one may end none");
        value.place.warn(complaint.remedy("add the role \"revoke\" or \"erase\", or leave the key out"));
    }
    let access = access.map(|value| accesses(&value, defined));
    Some(AdminToken { secret: secret?, roles, access: access.unwrap_or_default() })
}

/// Names of accesses.
fn accesses(value: &Value<'_>, defined: &[&str]) -> Vec<String> {
    let list = value.one_or_many().unwrap_or_default();
    if list.is_empty() {
        let complaint = Complaint::new("the token may end no session").remedy("name an access, or leave the key out");
        value.place.refuse(complaint);
    }
    list.iter().for_each(|name| checks::is_access(name, defined));
    list.iter().filter_map(Value::text).map(str::to_owned).collect()
}
