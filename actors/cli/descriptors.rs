//! Room for connections: each takes a file descriptor, and many systems allow 1,024 unless asked.

/// Descriptors that a node needs besides its connections: sockets, the store, the log.
const OTHERS: usize = 512;

/// Asks the system for as many as so many connections need; says so if it gives fewer.
pub(super) fn raise(connections: usize) {
    let wanted = u64::try_from(connections + OTHERS).unwrap_or(u64::MAX);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(got) if got < wanted => tracing::warn!(
            "the system allows {got} file descriptors, and limits.connections = {connections} needs {wanted}; raise \
             LimitNOFILE or ulimit -Hn"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be raised"),
    }
}
