extension SocketSteering {
    /// Returns the processes that hold registered sockets.
    ///
    /// - Parameters:
    ///   - sockets: The sockets.
    ///   - namespace: The steering's network namespace. Entering another one than the calling thread's needs
    ///     CAP_SYS_ADMIN.
    /// - Returns: The owners of each socket that is still open, by cookie. Seeing other users' processes needs
    ///   CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; without them the list of a socket may be empty.
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
