//! A RabbitMQ cluster of three nodes of a test's own, made by `deploy/local/cluster`.

use std::time::Duration;

use super::OwnServers;

/// One of the three nodes: 1, 2 or 3.
pub type Node = u8;

/// The nodes, stopped and removed with the value. Its commands block: use a runtime of several threads.
pub struct Cluster(OwnServers);

impl Cluster {
    pub const NODES: [Node; 3] = [1, 2, 3];

    /// Starts three nodes, and makes them one cluster; takes some 15 seconds.
    pub fn start() -> Self {
        Self(OwnServers::start_with("deploy/local/cluster", &[]))
    }

    /// One URL with all nodes, as `broker.url` takes it.
    pub fn url(&self) -> String {
        self.0.address("USER_MERGE__BROKER__URL")
    }

    /// The URL of one node.
    pub fn node_url(&self, node: Node) -> String {
        let (url, at) = (self.url(), self.place(node));
        let (user, rest) = url.split_once('@').unwrap();
        format!("{user}@{at}/{}", rest.split_once('/').unwrap().1)
    }

    /// `host:port` of one node.
    pub fn place(&self, node: Node) -> String {
        self.0.address(&format!("USER_MERGE_LOCAL__NODE_{node}"))
    }

    /// SIGKILL.
    pub fn kill(&self, node: Node) {
        self.0.run("kill", &[&node.to_string()]);
    }

    /// Starts it again, and waits until it serves.
    pub fn up(&self, node: Node) {
        self.0.run("up", &[&node.to_string()]);
    }

    /// RabbitMQ's own control command, at this node; its output.
    pub fn ctl(&self, node: Node, arguments: &[&str]) -> String {
        let node = node.to_string();
        let arguments = [&[node.as_str(), "-q"], arguments].concat();
        self.0.run("rabbitmqctl", &arguments)
    }

    /// A line for each queue, its values between tabs, asked of this node.
    pub fn queues(&self, node: Node, columns: &[&str]) -> Vec<Vec<String>> {
        self.try_queues(node, columns)
            .unwrap_or_else(|| panic!("node {node} doesn't list its queues"))
    }

    /// `None` where the node is not at work just now: one that was cut off pauses, and comes back by itself.
    fn try_queues(&self, node: Node, columns: &[&str]) -> Option<Vec<Vec<String>>> {
        let at = node.to_string();
        let silent = [&at, "-q", "list_queues", "--no-table-headers"];
        let list = self.0.ask("rabbitmqctl", &[&silent, columns].concat())?;
        let lines = list.lines();
        Some(
            lines
                .map(|line| line.split('\t').map(str::to_owned).collect())
                .collect(),
        )
    }

    /// The node of a queue's leader, asked of this node.
    pub fn leader(&self, node: Node, queue: &str) -> Node {
        let lines = self.queues(node, &["name", "leader"]);
        let line = lines.iter().find(|line| line[0] == queue).unwrap();
        members(&line[1])[0]
    }

    /// The nodes that a process is connected to, by the name that it gives its connections. A pid names its node.
    pub fn connected(&self, node: Node, process: u32) -> Vec<Node> {
        let list = self.ctl(node, &["list_connections", "pid", "client_properties"]);
        let its = format!("/{process}\"");
        list.lines()
            .filter(|line| line.contains(&its))
            .flat_map(|line| members(line.split('\t').next().unwrap()))
            .collect()
    }

    /// Waits until the queues, asked of this node, are as they should be. An answer takes a second or so.
    pub async fn until(
        &self,
        node: Node,
        columns: &[&str],
        what: &str,
        is_so: impl Fn(&[Vec<String>]) -> bool,
    ) {
        let mut queues = None;
        for _ in 0..60 {
            queues = self.try_queues(node, columns);
            if queues.as_deref().is_some_and(&is_so) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("never happened: {what}; {columns:?} are {queues:#?}");
    }

    /// Waits until every member of every queue takes part again: until then one more node down is one too many.
    pub async fn whole(&self) {
        let columns = ["name", "members", "online"];
        self.until(1, &columns, "all members online", |queues| {
            let online = |line: &Vec<String>| members(&line[1]).len() == members(&line[2]).len();
            queues.iter().all(online)
        })
        .await;
    }
}

/// The numbers of the nodes that are named, in order.
pub fn members(names: &str) -> Vec<Node> {
    let names = names.split("user_merge_").skip(1);
    let mut nodes: Vec<Node> = names.map(|name| name[..1].parse().unwrap()).collect();
    nodes.sort_unstable();
    nodes
}
