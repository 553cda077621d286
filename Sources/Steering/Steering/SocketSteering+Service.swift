extension SocketSteering {
    /// What a service does at its start: opens what is loaded, loads where nothing is, and upgrades what an older
    /// version has left.
    ///
    /// - Parameters: As of ``load(into:bpffs:readers:)``; readers are those of what is loaded now.
    /// - Throws: As ``load(into:bpffs:readers:)``, ``open(_:bpffs:for:)`` and ``upgrade(in:bpffs:)``, but not
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

    /// The kernel's number for what is attached: the same through changes and upgrades, another one after an unload
    /// and a load.
    ///
    /// - Throws: `notLoaded`, and as ``open(_:bpffs:for:)``.
    package func attachment() throws(SteeringError) -> UInt32 {
        try reading { state throws(SteeringError) in
            guard let link = state.link else { throw .steeringDetached }
            return try LinkInfo(link).linkID
        }
    }
}
