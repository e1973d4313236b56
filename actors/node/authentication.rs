//! What a Presence Server's configuration means for its endpoints: accounts from their file and its own, and what is a node's for
//! its life.

use std::sync::Arc;

use rollcall_core::digest::{Authentication, Memory, Users};
use rollcall_core::entropy::Entropy;
use rollcall_core::sip::domain;

use super::NodeError;
use crate::{config, secret};

/// What a node has for its life, however often accounts are read.
#[derive(Debug)]
pub(super) struct Lasting {
    /// A key for nonces.
    key: [u8; 32],
    memory: Arc<Memory>,
}

impl Lasting {
    /// A new key, and a memory in which nothing was seen.
    pub fn new(entropy: &mut Entropy) -> Self {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&entropy.next_u64().to_be_bytes());
        }
        let memory = Arc::new(Memory::new(&mut Entropy::from_seed(key)));
        Self { key, memory }
    }
}

/// The realm of the accounts: what is configured, or the first domain.
fn realm(settings: &config::Server) -> String {
    let configured = settings.digest.realm.as_ref();
    let realm = configured.or_else(|| settings.domains.first());
    realm.map_or_else(|| "rollcall".to_owned(), Clone::clone)
}

/// The domain of names that bring none: the first one, or the accounts' realm.
pub(super) fn home(settings: &config::Server) -> Option<String> {
    let first = settings.domains.first().cloned();
    let home = first.or_else(|| settings.authenticates().then(|| realm(settings)));
    home.map(|home| domain(&home).into_owned())
}

/// How requests are authenticated; not at all when `None`.
pub(super) fn authentication(
    settings: &config::Server,
    lasting: &Lasting,
) -> Result<Option<Arc<Authentication>>, NodeError> {
    if !settings.authenticates() {
        return Ok(None);
    }
    let digest = &settings.digest;
    let mut users = match &digest.users {
        None => Users::default(),
        Some(path) => {
            let wrong = |error: String| NodeError::Users {
                path: path.clone(),
                error,
            };
            let bytes = secret::read(path).map_err(|error| wrong(error.to_string()))?;
            let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
            Users::parse(&text).map_err(|error| wrong(error.to_string()))?
        }
    };
    let realm = realm(settings);
    for account in &digest.accounts {
        // Its name was found good when the config was read.
        users.add(&account.name, &realm, &account.password);
    }
    tracing::info!(
        realm,
        users = users.count(&realm),
        "requests are authenticated"
    );
    Ok(Some(Arc::new(Authentication {
        realm,
        users,
        offered: digest.algorithms.clone(),
        nonce_life: digest.nonce_life,
        host: settings.domains.first().cloned(),
        publishers: digest.publishers.clone(),
        trusted: digest.trusted.clone(),
        key: lasting.key,
        guessing: settings.guessing,
        memory: Arc::clone(&lasting.memory),
    })))
}
