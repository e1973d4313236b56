//! Black-box and interoperability tests: whole nodes, real sockets, real peers. One binary, a module a subject.

mod authentication;
mod bench;
mod cli;
mod client;
mod compare;
mod conformance;
mod conformance_sip;
mod endpoint;
mod examples;
mod fuzz;
mod instructions;
mod locate;
mod log;
mod manager;
mod nodes;
mod offload;
mod peers;
mod readme;
mod secrets;
mod selftest;
mod server;
mod simulate;
mod state_files;
mod support;
mod transports;
mod wires;
