import CSteering

/// The size of a policy's compiled tables.
public struct TablesStatus: Sendable, Hashable {
    /// The number of bytes that the policy in force uses.
    public let bytes: Int
    /// The number of bytes of kernel memory: two halves, for the policy in force and the next one.
    public let memory: Int
    /// The number of bindings that were compiled.
    public let bindings: Int
    /// The number of distinct rows; a row is the outcome on every port for the addresses of a prefix.
    public let rows: Int
    /// The number of classes of ports that no row tells apart.
    ///
    /// 0 if the cross product of rows and classes would be too large, and rows are tries over the port instead.
    public let portClasses: Int
    /// The number of trie nodes.
    public let nodes: Int

    init(_ header: steering_header, memory: Int) {
        bytes = Int(header.bytes)
        self.memory = memory
        bindings = Int(header.bindings)
        rows = Int(header.rows)
        portClasses = Int(header.port_classes)
        nodes = Int(header.nodes)
    }
}

extension SocketSteering {
    /// Returns the size of the tables in force.
    ///
    /// - Throws: `detached`, `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``.
    public func tables() throws(SteeringError) -> TablesStatus {
        try reading { state throws(SteeringError) in
            guard let memory = state.memory else { return try PolicyMemory.tables(state.plane) }
            return memory.tables
        }
    }
}
