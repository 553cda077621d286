extension SocketSteering {
    /// Opens the loaded steering, after loading one if there is none, or upgrading one that an older version loaded.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace; it may be closed afterwards.
    ///   - bpffs: The mount point of the BPF file system.
    ///   - group: As in ``load(into:bpffs:readers:)``; used only if steering is loaded now.
    /// - Returns: The steering, opened for changing.
    /// - Throws: As ``load(into:bpffs:readers:)``, ``open(_:bpffs:for:)`` and ``upgrade(in:bpffs:)``, except for
    ///   `alreadyLoaded` and `olderLayout`.
    package static func loadOrOpen(
        _ namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS, readers group: UInt32? = nil
    ) throws(SteeringError) -> SocketSteering {
        do throws(SteeringError) {
            return try load(into: namespace, bpffs: bpffs, readers: group)
        } catch { guard error.code == .alreadyLoaded else { throw error } }
        do throws(SteeringError) {
            return try open(namespace, bpffs: bpffs)
        } catch { guard error.code == .olderLayout else { throw error } }
        try upgrade(in: namespace, bpffs: bpffs)
        return try open(namespace, bpffs: bpffs)
    }

    /// Returns the ID of the link: unchanged by policies and upgrades, but different after an unload and a load.
    ///
    /// - Throws: `detached`, also if the link may not be opened; and as ``open(_:bpffs:for:)``.
    package func attachment() throws(SteeringError) -> UInt32 {
        try reading { state throws(SteeringError) in
            try LinkInfo(try state.link).linkID
        }
    }
}
