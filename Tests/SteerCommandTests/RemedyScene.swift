import KernelTestSupport
import Testing

/// A network namespace in which faults are made, seen by `doctor` from inside or from outside.
final class RemedyScene: Sendable {
    let bed: Bed
    private let neighbour: Neighbour?

    /// - Parameter isOutside: Whether the commands run elsewhere, and name the namespace.
    init(_ bed: Bed, isOutside: Bool) throws {
        self.bed = bed
        neighbour = isOutside ? try Neighbour("in0", number: 1) : nil
        guard let neighbour else { return }
        for (option, prefix) in zip(["", "-6 "], Flow.prefixes) {
            try neighbour.shell("ip \(option)route add local \(prefix) dev lo")
        }
    }

    var isOutside: Bool { neighbour != nil }

    /// Follows a command that is about the namespace.
    var options: String { neighbour.map { " --netns \($0.path.split(separator: "/").last!)" } ?? "" }

    /// Runs a shell command in the namespace.
    @discardableResult
    func shell(_ command: String) throws -> String {
        try neighbour.map { try $0.shell(command) } ?? KernelTestSupport.shell(command)
    }

    /// Runs `steer` about the namespace.
    @discardableResult
    func steer(_ arguments: String) throws -> String { try bed.steer(arguments + options) }

    /// Starts a program in the namespace.
    func start(_ command: String) throws -> Background {
        try Background(neighbour.map { $0.line(command) } ?? command, in: bed)
    }

    /// Starts a Python program in the namespace; it prints a line when it is ready.
    func python(_ program: String) throws -> Background {
        let path = try bed.write(program, to: "program-\(UInt64.random(in: 0...UInt64.max)).py")
        let started = try start("\(Bed.python) -u \(path)")
        try eventually("the program is ready") { try !started.output.isEmpty }
        return started
    }

    /// A server of TCP on 127.0.0.1 that answers `here`.
    func server(port: Int) throws -> Background {
        try python(
            """
            from socket import *
            s = create_server(('127.0.0.1', \(port)), backlog=1000)
            print('ready')
            while True:
                c = s.accept()[0]
                c.sendall(b'here'); c.close()
            """)
    }

    struct Finding: Sendable {
        let severity, subject, message: String
        let remedy: String?
    }

    func findings(_ arguments: String = "") throws -> [Finding] {
        let run = try bed.run("doctor\(options) --json \(arguments)")
        try verify(run.error.isEmpty, "\(run)")
        return try JSONValue(run.output)["findings"].array.map {
            Finding(
                severity: $0["severity"].string!, subject: $0["subject"].string!, message: $0["message"].string!,
                remedy: $0["remedy"].string)
        }
    }

    /// Runs the remedies of all findings about a subject, as they are printed; afterwards the findings must be gone, and
    /// of the namespace that the commands run in nothing may have changed.
    func mend(
        _ subject: String, _ word: String, _ arguments: String = "", blanks: [String: String] = [:]
    ) throws {
        let found = try findings(arguments).filter { $0.subject == subject && $0.remedy != nil }
        try verify(!found.isEmpty, "no finding about \(subject)")
        let before = try isOutside ? surroundings() : ""
        var done: Set<String> = []
        for finding in found {
            guard var remedy = finding.remedy, done.insert(remedy).inserted else { continue }
            try verify(remedy.contains(word), remedy)
            for (blank, text) in blanks { remedy = remedy.replacing(blank, with: text) }
            let run = try run(remedy)
            try verify(run.exitCode == 0 && run.error.isEmpty, "\(remedy): \(run)")
        }
        let left = try findings(arguments).filter { $0.subject == subject }
        try verify(left.isEmpty, "after \(done): \(left)")
        if isOutside { try verify(surroundings(), is: before, "the caller's own namespace, after \(done)") }
    }

    /// Runs a line by sh, with our commands in the PATH.
    func run(_ line: String) throws -> Bed.Run {
        let folder = bed.steer.split(separator: "/").dropLast().joined(separator: "/")
        let file = try bed.write(line + "\n", to: "remedy.sh")
        return try bed.sh("PATH=/\(folder):$PATH sh \(file)")
    }

    private func surroundings() throws -> String {
        try KernelTestSupport.shell(
            "ip route show table all; ip -6 route show table all; sysctl net.ipv4.conf.in0.rp_filter net.ipv4.tcp_migrate_req net.ipv6.ip_nonlocal_bind net.ipv4.ip_nonlocal_bind net.ipv4.ip_local_reserved_ports"
        ).split(separator: "\n").map { $0.split(separator: " expires ")[0] }.joined(separator: "\n")
    }

    /// Runs a closure while clients connect to 192.0.2.9:80, one after the other: each must be answered.
    func withoutLoss(_ body: () throws -> Void) throws {
        let stop = "\(bed.folder)/stop"
        let clients = try python(
            """
            import os, time
            from socket import *
            count = 0
            while not os.path.exists('\(stop)'):
                with create_connection(('192.0.2.9', 80), 20) as s: assert s.recv(9) == b'here'
                time.sleep(0.01)
                count += 1
                if count == 20: print('ready')
            print('done')
            """)
        try body()
        try KernelTestSupport.shell("touch \(stop)")
        let code = try clients.exitCode()
        try KernelTestSupport.shell("rm \(stop)")
        let error = try clients.error
        try verify(code == 0 && clients.output.hasSuffix("done\n"), "a connection is lost: \(error)")
    }
}
