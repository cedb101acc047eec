//! What the machine gives: the defaults that no file can know. A container's limit counts where it is below what the
//! machine has (control groups, version 2 and 1).

use std::fs;
use std::path::Path;

/// What this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The host name, as a token (RFC 9110 §5.6.2).
    pub name: String,
    /// Cores that the process may run on at once.
    pub cores: usize,
    /// Bytes of memory that the process may use.
    pub memory: u64,
}

/// Assumed where the system tells nothing: small enough to fit anywhere.
const UNKNOWN_MEMORY: u64 = 1 << 30;

impl Machine {
    /// Asks the system.
    pub fn here() -> Self {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            name: token_of(name.trim()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory_under(Path::new("/")),
        }
    }
}

/// Whether the text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(tchar)
}

/// The nearest token to a name; `weir` where nothing of it is left.
fn token_of(name: &str) -> String {
    let token: String = name.chars().map(|c| if is_token(c.encode_utf8(&mut [0; 4])) { c } else { '-' }).collect();
    if token.is_empty() { "weir".to_owned() } else { token }
}

/// Memory in bytes: the machine's, or less where a control group of this process says so. `root` is `/` but in tests.
fn memory_under(root: &Path) -> u64 {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let groups = read("proc/self/cgroup");
    let machine = machine_memory(&read("proc/meminfo"));
    let limits = limit_files(&groups).into_iter().filter_map(|file| read(&file).trim().parse::<u64>().ok());
    limits.chain(machine).min().unwrap_or(UNKNOWN_MEMORY)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The files that may limit a process in these groups: of each group and of all above it, because each of them binds.
/// Inside a container the group's path may name a folder of the host; then only the root of the mount exists.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut path = path.trim_matches('/');
        loop {
            let slash = if path.is_empty() { "" } else { "/" };
            files.push(format!("{mount}{slash}{path}/{file}"));
            if path.is_empty() {
                break;
            }
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_of_machine_and_groups_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/edge.slice/weir.service\n");
        let v1 = ("proc/self/cgroup", "11:cpu,cpuacct:/x\n5:memory:/docker/abc\n");
        let cases: [(&[(&str, &str)], u64); 6] = [
            (&[meminfo], 8 << 30),
            (&[], UNKNOWN_MEMORY),
            (&[meminfo, v2, ("sys/fs/cgroup/edge.slice/weir.service/memory.max", "max\n")], 8 << 30),
            (&[meminfo, v2, ("sys/fs/cgroup/edge.slice/memory.max", "1073741824\n")], 1 << 30),
            (&[meminfo, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")], 512 << 20),
            (
                &[meminfo, v1, ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n")],
                8 << 30,
            ),
        ];
        for (files, memory) in cases {
            assert_eq!(memory_under(root(files).path()), memory, "{files:?}");
        }
    }

    #[test]
    fn a_host_name_becomes_a_token() {
        for (name, token) in
            [("edge-1.example", "edge-1.example"), ("edge 1", "edge-1"), ("", "weir"), ("kölsch", "k-lsch")]
        {
            assert_eq!(token_of(name), token);
        }
    }
}
