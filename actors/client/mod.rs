//! The Presence Client node: Manager link, PublishBuffer and Publisher.
