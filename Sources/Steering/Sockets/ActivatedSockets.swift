import Glibc

/// A file descriptor that the service manager passed to this process.
public struct ActivatedSocket: Sendable, Hashable {
    /// The descriptor, 3 or greater.
    ///
    /// It stays open until the caller closes it.
    public let descriptor: CInt
    /// The name that the service manager gave it (`FileDescriptorName=`); nil if it gave no names.
    ///
    /// Several descriptors may have the same name.
    public let name: String?
}

/// The sockets that a service manager opened before it started this process: systemd's `$LISTEN_FDS` protocol, see
/// sd_listen_fds(3).
public enum ActivatedSockets {
    /// The protocol's variables in the environment of this process.
    public static var environment: [String: String] {
        environmentVariables(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"])
    }

    /// Returns all passed sockets in their order, and marks them close-on-exec.
    ///
    /// The descriptors are never closed and the variables are left in place, so this can be called again. Whether a
    /// socket can be steered to is checked when it is registered.
    ///
    /// - Parameter environment: The environment with the protocol's variables; others are ignored.
    /// - Returns: At least one socket.
    /// - Throws: `socketNotFound` if there are none, or the variables are for another process; `invalidEnvironment` if
    ///   the variables contradict each other or the open descriptors; `systemCall`.
    public static func all(
        environment: [String: String] = environment
    ) throws(SteeringError) -> [ActivatedSocket] {
        let pidText: String, countText: String
        switch (environment["LISTEN_PID"], environment["LISTEN_FDS"]) {
        case (let pid?, let count?): (pidText, countText) = (pid, count)
        case (nil, nil): throw .notActivated("LISTEN_PID and LISTEN_FDS are not set")
        case (nil, _): throw .notActivated("LISTEN_FDS is set, but not LISTEN_PID, the process that it is for")
        case (_, nil): throw .notActivated("LISTEN_PID is set, but not LISTEN_FDS, the number of sockets")
        }
        let pid = try number(pidText, of: "LISTEN_PID", atLeast: 1)
        guard pid == getpid() else {
            // Inherited through a process that should have unset them.
            throw .notActivated("LISTEN_PID is \(pid), and this process is \(getpid())")
        }
        let count = try number(countText, of: "LISTEN_FDS", atLeast: 0)
        guard count > 0 else { throw .notActivated("LISTEN_FDS is 0") }
        let first: CInt = 3  // SD_LISTEN_FDS_START
        guard count <= CInt.max - first else { throw .invalid("LISTEN_FDS is \(count), more than a process can have") }

        let descriptors = first..<first + count
        for descriptor in descriptors where fcntl(descriptor, F_GETFD) < 0 {
            throw .invalid("LISTEN_FDS is \(count), but descriptor \(descriptor) is not open")
        }
        let names = environment["LISTEN_FDNAMES"].map { $0.split(separator: ":", omittingEmptySubsequences: false) }
        if let names, names.count != descriptors.count {
            throw .invalid("LISTEN_FDS is \(count), but LISTEN_FDNAMES has \(names.count) names")
        }
        for descriptor in descriptors {
            try systemCall("fcntl") { fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
        return descriptors.enumerated().map { index, descriptor in
            ActivatedSocket(descriptor: descriptor, name: names.map { String($0[index]) })
        }
    }

    /// Parses decimal digits only: the leniency of strtol would hide mistakes.
    private static func number(_ text: String, of name: String, atLeast least: CInt) throws(SteeringError) -> CInt {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = CInt(text), value >= least
        else {
            throw .invalid(
                "\(name) is \(String(text.prefix(40)).debugDescription), which is not a valid number for it")
        }
        return value
    }
}

extension SteeringError {
    fileprivate static func notActivated(_ why: String) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "no socket was passed to this process: \(why); start it from a .socket unit, or with systemd-socket-activate"
        )
    }

    fileprivate static func invalid(_ problem: String) -> SteeringError {
        SteeringError(
            .invalidEnvironment, "\(problem): unset the LISTEN_ variables, or start the process from a .socket unit")
    }
}
