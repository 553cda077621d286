import Glibc

/// A descriptor that the process was started with.
public struct ActivatedSocket: Sendable, Hashable {
    /// The descriptor, 3 or greater. It stays open until whoever asked for it closes it.
    public let descriptor: CInt
    /// What the service manager calls it (`FileDescriptorName=`); nil where it gave no names. Several may
    /// have one name.
    public let name: String?
}

/// The sockets that a service manager opened before it started this process: the `$LISTEN_FDS` protocol
/// of systemd, see sd_listen_fds(3).
public enum ActivatedSockets {
    /// The variables of the protocol, as this process has them.
    public static var environment: [String: String] {
        environmentVariables(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"])
    }

    /// All of them, in their order. They are made close-on-exec and never closed; the variables stay as
    /// they are, so this can be called again.
    ///
    /// Whether each is a socket that can be steered to is found out when it is registered.
    ///
    /// - Parameter environment: Where the variables are; other variables do not matter.
    /// - Returns: At least one.
    /// - Throws: `socketNotFound` when there are none, or the variables are meant for another process;
    ///   `invalidEnvironment` when they contradict themselves or the descriptors.
    public static func all(
        environment: [String: String] = environment
    ) throws(SteeringError) -> [ActivatedSocket] {
        let pidText: String, countText: String
        switch (environment["LISTEN_PID"], environment["LISTEN_FDS"]) {
        case (let pid?, let count?): (pidText, countText) = (pid, count)
        case (nil, nil): throw .notActivated("LISTEN_PID and LISTEN_FDS are not set")
        case (nil, _): throw .notActivated("LISTEN_FDS is set, but LISTEN_PID is not, which says for whom it is")
        case (_, nil): throw .notActivated("LISTEN_PID is set, but LISTEN_FDS is not, which says how many there are")
        }
        let pid = try number(pidText, of: "LISTEN_PID", atLeast: 1)
        guard pid == getpid() else {
            // Inherited, past a process that should have unset them.
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

    /// Decimal digits only: what strtol forgives hides mistakes.
    private static func number(_ text: String, of name: String, atLeast least: CInt) throws(SteeringError) -> CInt {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = CInt(text), value >= least
        else {
            throw .invalid(
                "\(name) is \(String(text.prefix(40)).debugDescription), which is not a number that it can have")
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
