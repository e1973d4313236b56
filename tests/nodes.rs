//! Manager, Presence Client and Presence Server as three processes.
