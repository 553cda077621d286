import Glibc

/// The descriptors that a service manager passed to this process: systemd's `$LISTEN_FDS` protocol, see
/// sd_listen_fds(3).
package enum ListenDescriptors {
    /// The first passed descriptor (SD_LISTEN_FDS_START).
    package static let first: CInt = 3

    private static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]

    /// The protocol's variables in the environment of this process.
    package static var environment: [String: String] { environmentVariables(variables) }

    /// Removes the protocol's variables from the environment: they are not for a program that this process runs.
    package static func unsetEnvironment() {
        for name in variables { unsetenv(name) }
    }

    /// The reason why there are no descriptors.
    package enum Failure: Error {
        /// None were passed to this process.
        case nothingPassed(String)
        /// The variables contradict each other or the open descriptors.
        case invalid(String)
        case systemCall(String, errno: CInt)
    }

    /// Returns all passed descriptors in their order, and marks them close-on-exec.
    ///
    /// - Parameter environment: The environment with the protocol's variables; others are ignored.
    /// - Returns: At least one descriptor. The name is that of `FileDescriptorName=`; nil if there are no names.
    package static func all(
        environment: [String: String] = environment
    ) throws(Failure) -> [(descriptor: CInt, name: String?)] {
        let pidText: String, countText: String
        switch (environment["LISTEN_PID"], environment["LISTEN_FDS"]) {
        case (let pid?, let count?): (pidText, countText) = (pid, count)
        case (nil, nil): throw .nothingPassed("LISTEN_PID and LISTEN_FDS are not set")
        case (nil, _): throw .nothingPassed("LISTEN_FDS is set, but not LISTEN_PID, the process that it is for")
        case (_, nil): throw .nothingPassed("LISTEN_PID is set, but not LISTEN_FDS, the number of sockets")
        }
        let pid = try number(pidText, of: "LISTEN_PID", atLeast: 1)
        guard pid == getpid() else {
            // Inherited through a process that should have unset them.
            throw .nothingPassed("LISTEN_PID is \(pid), and this process is \(getpid())")
        }
        let count = try number(countText, of: "LISTEN_FDS", atLeast: 0)
        guard count > 0 else { throw .nothingPassed("LISTEN_FDS is 0") }
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
            guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw .systemCall("fcntl", errno: errno) }
        }
        return descriptors.enumerated().map { index, descriptor in
            (descriptor, names.map { String($0[index]) })
        }
    }

    /// Parses decimal digits only: the leniency of strtol would hide mistakes.
    private static func number(_ text: String, of name: String, atLeast least: CInt) throws(Failure) -> CInt {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = CInt(text), value >= least
        else {
            throw .invalid(
                "\(name) is \(String(text.prefix(40)).debugDescription), which is not a valid number for it")
        }
        return value
    }
}
