import CSteering

/// How large the compiled tables of a policy are.
public struct TablesStatus: Sendable, Hashable {
    /// Bytes that the policy in force needs.
    public let bytes: Int
    /// Bytes of kernel memory: two halves, the policy in force and room for the next.
    public let memory: Int
    /// Bindings that they were compiled from.
    public let bindings: Int
    /// Different rows: what happens on every port, for the addresses of a prefix.
    public let rows: Int
    /// Classes of ports that no row tells apart; 0 when rows are tries over the port instead, because rows and
    /// classes would have multiplied.
    public let portClasses: Int
    /// Nodes of tries.
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
    /// The size of the tables in force.
    ///
    /// - Throws: `detached`, `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``.
    public func tables() throws(SteeringError) -> TablesStatus {
        try reading { state throws(SteeringError) in
            guard let memory = state.memory else { return try PolicyMemory.tables(state.plane) }
            return memory.tables
        }
    }
}
