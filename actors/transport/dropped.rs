//! How many datagrams a socket has lost (`SO_MEMINFO` of Linux).

use tokio::net::UdpSocket;

#[cfg(target_os = "linux")]
mod option {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    /// What `SO_MEMINFO` tells has nine numbers, of which the last is the drops (`SK_MEMINFO_DROPS`).
    pub(super) const DROPS: usize = 8;

    sockopt_impl!(
        /// What a socket has in its buffers.
        MemInfo,
        GetOnly,
        libc::SOL_SOCKET,
        libc::SO_MEMINFO,
        [u32; 9]
    );
}

/// Datagrams dropped since the socket was opened. The kernel's count has 32 bits, and begins anew after them.
#[cfg(target_os = "linux")]
pub(super) fn count(socket: &UdpSocket) -> u64 {
    let told = nix::sys::socket::getsockopt(socket, option::MemInfo);
    told.map_or(0, |told| told[option::DROPS].into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn count(_: &UdpSocket) -> u64 {
    0
}
