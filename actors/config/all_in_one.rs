//! Settings of all roles in one process.

use super::Settings;
use super::client::ClientCommon;
use super::manager::Manager;
use super::section::Section;
use super::server::Server;
use super::source::{CalendarSource, Source};

/// What `rollcall run` is told: one section for each role. The roles find each other without being told.
#[derive(Clone, Debug, PartialEq)]
pub struct AllInOne {
    /// The Presence Server.
    pub server: Server,
    /// The Presence Client; its Manager and its server are those of this process.
    pub client: ClientCommon,
    /// The Manager. Without any source configured it has the demo calendar.
    pub manager: Manager,
}

impl Settings for AllInOne {
    const ROLE: &'static str = "run";
    const ABOUT: &'static str =
        "Settings of all roles in one process: rollcall run --config all-in-one.toml";

    fn read(s: &mut Section<'_>) -> Self {
        let server = s.section("server", Server::read);
        let client = s.section("client", ClientCommon::read);
        let mut manager = s.section("manager", Manager::read);
        if manager.sources.is_empty() {
            manager
                .sources
                .push(Source::Calendar(CalendarSource::demo()));
        }
        Self {
            server,
            client,
            manager,
        }
    }
}
