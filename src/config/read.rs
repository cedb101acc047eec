//! From a text to a `Config`, or to every problem of it at once.

use std::path::{Path, PathBuf};

use super::file::Section;
use super::finding::{Complaint, Finding, Problems, Report};
use super::machine::Machine;
use super::{
    Address, Config, access, capacity, checks, limits, listen, material, nats, origin, peers, qoe, route, syntax,
    tables,
};

impl Config {
    /// Reads a file. Relative names in it start at its folder. Warnings come with a configuration that works.
    ///
    /// # Errors
    /// Every problem of the file, in its order.
    pub fn load(path: &Path) -> Result<(Self, Vec<Finding>), Problems> {
        let outcome = Self::parse(&text_of(path)?, path.parent().unwrap_or(Path::new("")));
        outcome.map_err(|problems| Problems { file: path.to_owned(), ..problems })
    }

    /// Reads a text; relative names in it start at `base`.
    ///
    /// # Errors
    /// Every problem of the text, in its order.
    pub fn parse(text: &str, base: &Path) -> Result<(Self, Vec<Finding>), Problems> {
        Self::parse_on(&Machine::here(), text, base)
    }

    /// Reads a text as another machine would.
    ///
    /// # Errors
    /// Every problem of the text, in its order.
    pub fn parse_on(machine: &Machine, text: &str, base: &Path) -> Result<(Self, Vec<Finding>), Problems> {
        let report = Report::of(text);
        let config = read(&report, machine, text, base);
        let (problems, warnings) = report.close();
        if let (Some(config), true) = (config, problems.is_empty()) {
            return Ok((config, warnings));
        }
        Err(Problems { file: PathBuf::new(), text: text.to_owned(), problems, warnings })
    }

    /// Where the admin API of a file listens. The rest of the file is not judged: who asks a node need not be able to
    /// read its keys.
    ///
    /// # Errors
    /// Where the file cannot be read, is not TOML, or its `listen.admin` is no address.
    pub fn admin_address(path: &Path) -> Result<Option<Address>, Problems> {
        let text = text_of(path)?;
        let report = Report::of(&text);
        let base = path.parent().unwrap_or(Path::new(""));
        let document = syntax::parse(&text, &report);
        let whole = document.as_ref().map(|document| Section::whole(document.get_ref(), &report));
        let listen = whole.and_then(|mut whole| whole.table("listen"));
        let admin = listen::admin(listen, base);
        drop(document);
        let (problems, warnings) = report.close();
        if problems.is_empty() {
            return Ok(admin);
        }
        Err(Problems { file: path.to_owned(), text, problems, warnings })
    }

    /// What differs from `new` and takes effect only with a restart, as keys.
    pub fn restart_differences(&self, new: &Config) -> Vec<&'static str> {
        let (old_listen, new_listen) = (&self.listen, &new.listen);
        let differences = [
            ("node.workers", self.node.workers != new.node.workers),
            ("node.state", self.node.state != new.node.state),
            ("listen.http", old_listen.http != new_listen.http),
            ("listen.https", old_listen.https != new_listen.https),
            ("listen.admin", old_listen.admin != new_listen.admin),
            ("listen.monitor", old_listen.monitor != new_listen.monitor),
            ("listen.congestion", old_listen.congestion != new_listen.congestion),
            ("listen.peers", old_listen.peers != new_listen.peers),
            ("peers", peers::differ(self.peers.as_ref(), new.peers.as_ref())),
            ("nats", self.nats != new.nats),
            ("journal", self.journal != new.journal),
            ("qoe.enabled", self.qoe.enabled != new.qoe.enabled),
            ("cache.disk", self.cache.disk != new.cache.disk),
            ("http3.enabled", self.http3.enabled != new.http3.enabled),
            ("http3.gso", self.http3.gso != new.http3.gso),
        ];
        differences.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
    }
}

fn text_of(path: &Path) -> Result<String, Problems> {
    let (message, remedy) = match material::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return Ok(text),
        Ok(Err(_)) => ("the configuration is not UTF-8".to_owned(), "save it as UTF-8"),
        Err(error) => (format!("the configuration cannot be read: {error}"), "name the file with --config"),
    };
    let report = Report::of("");
    report.file().refuse(Complaint::new(message).remedy(remedy));
    let (problems, warnings) = report.close();
    Err(Problems { file: path.to_owned(), text: String::new(), problems, warnings })
}

/// `None` where the text could not be judged. Where there are problems, defaults stand in their place and the result
/// must not be used.
fn read(report: &Report, machine: &Machine, text: &str, base: &Path) -> Option<Config> {
    let document = syntax::parse(text, report)?;
    let mut whole = Section::whole(document.get_ref(), report);
    let node = tables::node(whole.table("node"), machine, base);
    let (listen, addresses) = listen::listen(whole.table("listen"), base);
    let http3 = listen::http3(whole.table("http3"));
    let tls = listen::tls(whole.table("tls"), base);
    let cache = tables::cache(whole.table("cache"), machine, base);
    let origins = origin::origins(whole.table("origins"), base);
    let routes = route::routes(whole.value("route"), base);
    let access_log = tables::access_log(whole.table("access_log"), base);
    let limits = limits::limits(whole.table("limits"));
    let shutdown = tables::shutdown(whole.table("shutdown"));
    let metrics = tables::metrics(whole.table("metrics"));
    let accesses = access::accesses(whole.table("access"), base);
    let admin = tables::admin(whole.table("admin"), base, &accesses);
    let typed_peers = whole.table("peers").map(|section| peers::peers(section, base));
    let nats_section = whole.table("nats");
    let nats_place = nats_section.as_ref().map(|section| section.place.clone());
    let nats = nats_section.and_then(|section| nats::nats(section, base));
    let capacity = capacity::capacity(whole.table("capacity"), machine);
    let geo = capacity::geo(whole.table("geo"), base);
    let qoe = qoe::qoe(whole.table("qoe"), base);
    let journal = qoe::journal(whole.table("journal"));
    whole.finish();
    let config = Config {
        node,
        listen,
        http3,
        tls,
        cache,
        origins: origins.iter().filter_map(|typed| typed.origin.clone()).collect(),
        routes: routes.iter().map(|typed| geo.applied(typed.route.clone())).collect(),
        access_log,
        limits,
        shutdown,
        admin,
        metrics,
        peers: typed_peers.as_ref().map(|typed| typed.peers.clone()),
        capacity,
        geo,
        nats,
        qoe,
        journal,
        accesses: accesses.iter().filter_map(|typed| typed.access.clone()).collect(),
    };
    nats::together(&config, report, nats_place.as_ref());
    peers::together(&config, report, typed_peers.as_ref(), &addresses);
    capacity::together(&config, report, &routes);
    checks::whole(&config, report, &addresses, (&origins, &accesses, &routes));
    Some(config)
}
