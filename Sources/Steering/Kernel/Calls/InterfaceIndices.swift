import Glibc

/// Looks up interfaces in a steering's network namespace. Keeps the path of the namespace, and does not hold it open.
struct InterfaceIndices: Sendable {
    private let path: String
    private let inode: UInt64

    init(of namespace: borrowing NetworkNamespace) {
        path = namespace.path
        inode = namespace.inode
    }

    /// Returns the indices of interfaces. Leaves out those that do not exist.
    ///
    /// - Throws: `networkNamespaceGone`, `networkNamespaceUnavailable`, `systemCall`; `missingCapability`
    ///   (CAP_SYS_ADMIN) if the namespace is not the calling thread's.
    func callAsFunction(of names: [InterfaceName]) throws(SteeringError) -> [InterfaceName: UInt32] {
        if names.isEmpty { return [:] }
        return try inside { () throws(SteeringError) in try Self.indices(of: names) }
    }

    /// Returns the indices of interfaces, where an interface that was renamed keeps its name in the tables.
    ///
    /// - Parameters:
    ///   - names: The names. Those without an interface are left out.
    ///   - former: The indices in the tables. An index without an interface does not count.
    ///   - anew: The names to look up. They keep their index only if no interface has the name.
    /// - Throws: As for the indices.
    func callAsFunction(
        of names: [InterfaceName], keeping former: [InterfaceName: UInt32], lookingUp anew: Set<InterfaceName>
    ) throws(SteeringError) -> [InterfaceName: UInt32] {
        if names.isEmpty { return [:] }
        return try inside { () throws(SteeringError) in
            var kept: [InterfaceName: UInt32] = [:]
            for (name, index) in former where try Self.exists(index) { kept[name] = index }
            let sought = names.filter { kept[$0] == nil || anew.contains($0) }
            let found = try Self.indices(of: sought)
            for name in names { kept[name] = found[name] ?? kept[name] }
            return kept.filter { names.contains($0.key) }
        }
    }

    /// Returns all interfaces by index, except those with a name that no binding can have.
    ///
    /// - Throws: As for the indices.
    func names() throws(SteeringError) -> [UInt32: InterfaceName] {
        try inside { () throws(SteeringError) in
            guard let list = if_nameindex() else { throw .failed("if_nameindex", errno) }
            defer { if_freenameindex(list) }
            var names: [UInt32: InterfaceName] = [:]
            var entry = list
            while entry.pointee.if_index != 0 {
                names[entry.pointee.if_index] = try? InterfaceName(String(cString: entry.pointee.if_name))
                entry += 1
            }
            return names
        }
    }

    private func inside<Result: Sendable>(
        _ body: @escaping @Sendable () throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        if try NetworkNamespace.current().inode == inode { return try body() }
        let namespace = try NetworkNamespace(path: path)
        guard namespace.inode == inode else { throw .namespaceGone }
        return try namespace.run(body)
    }

    private static func exists(_ index: UInt32) throws(SteeringError) -> Bool {
        var name = [CChar](repeating: 0, count: Int(IFNAMSIZ))
        if if_indextoname(index, &name) != nil { return true }
        guard errno == ENXIO || errno == ENODEV else { throw .failed("if_indextoname", errno) }
        return false
    }

    private static func indices(of names: [InterfaceName]) throws(SteeringError) -> [InterfaceName: UInt32] {
        var indices: [InterfaceName: UInt32] = [:]
        for name in names {
            let index = if_nametoindex(name.name)
            if index == 0, errno != ENODEV { throw .failed("if_nametoindex", errno) }
            if index != 0 { indices[name] = index }
        }
        return indices
    }
}
