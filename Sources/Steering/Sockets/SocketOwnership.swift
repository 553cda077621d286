extension SocketSteering {
    /// The processes that hold registered sockets, by cookie. Empty for a socket whose owner may not be
    /// seen: that takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
    ///
    /// - Parameters:
    ///   - sockets: The sockets.
    ///   - namespace: The steering's network namespace; entering another than the calling thread's needs
    ///     CAP_SYS_ADMIN.
    /// - Throws: `missingCapability`, `systemCall`.
    public static func owners(
        of sockets: [RegisteredSocket], in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) -> [SocketCookie: [SocketOwner]] {
        guard !sockets.isEmpty else { return [:] }
        let known = try namespace.run { () throws(SteeringError) in try SocketDiagnostics().sockets() }
        return try owners(of: sockets.map(\.cookie), known)
    }

    static func owners(
        of cookies: [SocketCookie], _ known: [SocketCookie: DiagnosedSocket]
    ) throws(SteeringError) -> [SocketCookie: [SocketOwner]] {
        let found = try SocketOwners(of: cookies.compactMap { known[$0]?.inode })
        var owners: [SocketCookie: [SocketOwner]] = [:]
        for cookie in cookies { owners[cookie] = known[cookie].map { found[$0.inode] } }
        return owners
    }
}
