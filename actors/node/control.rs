//! How a running node is told to stop or to show its counters.

use tokio::sync::mpsc;

/// What a running node can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show the counters and go on.
    Show,
    /// Read accounts and certificates again and go on.
    Reload,
    /// End in order.
    Stop,
}

/// The node's end: a stream of commands.
#[derive(Debug)]
pub struct Control(mpsc::UnboundedReceiver<Command>);

/// The other end, held by the signal handler or a test. Dropping the last one tells the node to stop.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::UnboundedSender<Command>);

impl Control {
    /// Both ends.
    pub fn new() -> (Handle, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Handle(sender), Self(receiver))
    }

    /// The next command; [`Command::Stop`] when nobody is left to give any.
    pub async fn next(&mut self) -> Command {
        self.0.recv().await.unwrap_or(Command::Stop)
    }
}

impl Handle {
    /// Gives a command; false when the node has ended.
    pub fn give(&self, command: Command) -> bool {
        self.0.send(command).is_ok()
    }

    /// Waits until the node has ended.
    pub async fn ended(&self) {
        self.0.closed().await;
    }
}
