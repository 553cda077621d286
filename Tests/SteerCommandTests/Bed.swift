import Foundation
import KernelTestSupport
import Steering

/// The built command in a network namespace, with a BPF file system and a directory of its own.
final class Bed: Sendable {
    let steer: String
    let bpffs: TestFileSystem
    /// A directory for files of this test, which everyone may read.
    let folder: String

    init(options: String = "mode=0755") throws {
        steer = try Programs.path(of: "steer")
        bpffs = try TestFileSystem(options: options)
        folder = "\(bpffs.path).files"
        try shell("mkdir -m 0755 \(folder)")
    }

    deinit { _ = try? shell("rm -r \(folder)") }

    /// What a command printed, and how it ended.
    struct Run: Sendable {
        let output, error: String
        let exitCode: Int32
    }

    /// Runs a shell command line.
    func sh(_ command: String) throws -> Run {
        let file = "\(folder)/error-\(UInt64.random(in: 0...UInt64.max))"
        let text = try shell("{ \(command)\n} 2>\(file); printf '\\n%s' $?")
        let cut = text.lastIndex(of: "\n")!
        let error = try shell("cat \(file); rm \(file)")
        return Run(output: String(text[..<cut]), error: error, exitCode: Int32(text[text.index(after: cut)...])!)
    }

    /// Runs `steer VERB --bpffs ... REST`, behind another command such as setpriv.
    func run(_ arguments: String, under wrapper: String = "") throws -> Run {
        try sh(line(arguments, under: wrapper))
    }

    func line(_ arguments: String, under wrapper: String = "") -> String {
        let words = arguments.split(separator: " ", maxSplits: 1)
        return "\(wrapper) \(steer) \(words[0]) --bpffs \(bpffs.path) \(words.count > 1 ? words[1] : "")"
    }

    /// Runs the command, which must do what it should and say nothing on standard error.
    @discardableResult
    func steer(
        _ arguments: String, under wrapper: String = "", file: StaticString = #fileID, line: UInt = #line
    ) throws -> String {
        let run = try run(arguments, under: wrapper)
        try verify(
            run.exitCode == 0 && run.error.isEmpty, "steer \(arguments) ended with \(run)", file: file, line: line)
        return run.output
    }

    /// Runs the command with --json, and reads what it prints.
    func json(
        _ arguments: String, under wrapper: String = "", file: StaticString = #fileID, line: UInt = #line
    ) throws -> JSONValue {
        let text = try steer("\(arguments) --json", under: wrapper, file: file, line: line)
        try verify(text.split(separator: "\n").count == 1, "one line: \(text)", file: file, line: line)
        return try JSONValue(text)
    }

    /// Everything that a command could change.
    func state() throws -> [String] {
        let loaded = try run("bindings --file json")
        return try bpffs.listing() + [loaded.output, try run("sockets --json").output]
    }

    /// Runs the command, which must fail in one sentence and leave everything as it is; returns the sentence.
    @discardableResult
    func refused(
        _ arguments: String, _ hint: String, exitCode: Int32 = 1, under wrapper: String = "",
        file: StaticString = #fileID, line: UInt = #line
    ) throws -> String {
        let before = try state()
        let run = try run(arguments, under: wrapper)
        try verify(run.exitCode == exitCode, "steer \(arguments) ended with \(run)", file: file, line: line)
        try verify(run.output, is: "", "standard output", file: file, line: line)
        try verify(
            run.error.hasPrefix("steer: ") && run.error.split(separator: "\n").count == 1, "one sentence: \(run.error)",
            file: file, line: line)
        try verify(hint.isEmpty || run.error.contains(hint), "'\(hint)' in: \(run.error)", file: file, line: line)
        try verify(try state(), is: before, "the state", file: file, line: line)
        return run.error
    }

    func write(_ text: String, to name: String) throws -> String {
        let path = "\(folder)/\(name)"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }

    func policy(_ label: String, _ ports: String = "80") -> String {
        """
        bindings:
          - label: \(label)
            protocols: tcp
            prefixes: [192.0.2.0/24]
            ports: \(ports)

        """
    }

    /// The labels and outcomes of the bindings in force, with their ports.
    func inForce() throws -> [String] {
        try json("bindings")["bindings"].array.map {
            "\($0["label"].string ?? $0["outcome"].string ?? "") \($0["ports"].string ?? "")"
        }
    }
}

/// Runs a closure with a bed in a fresh network namespace, 192.0.2.0/24 and 2001:db8::/64 routed to it.
func withBed(loaded: Bool = true, _ body: @escaping @Sendable (Bed) throws -> Void) async throws {
    try await withNetworkNamespace(routing: Flow.prefixes) {
        let bed = try Bed()
        if loaded { try verify(bed.steer("load"), is: "", "what load prints") }
        try body(bed)
    }
}

extension Background {
    /// Starts a command without shell syntax.
    convenience init(_ command: String, in bed: Bed, environment: String = "") throws {
        try self.init(command, folder: bed.folder, environment: environment)
    }
}

extension Bed {
    /// A server that answers each connection with a word, on 127.0.0.1.
    func server(_ word: String, port: Int) throws -> Background {
        let server = try Background(
            "socat TCP4-LISTEN:\(port),bind=127.0.0.1,reuseaddr,fork SYSTEM:'echo \(word)'", in: self)
        try listens(":\(port)")
        return server
    }

    func listens(_ what: String, _ count: Int = 1) throws {
        try eventually("a server on \(what)") {
            try shell("ss -Hltun | grep -cF '\(what) ' || true").dropLast() == "\(count)"
        }
    }

    /// A Python program in the background, in a file of its own.
    func python(_ program: String, environment: String = "") throws -> Background {
        let path = try write(program, to: "program-\(UInt64.random(in: 0...UInt64.max)).py")
        return try Background("\(Bed.python) \(path)", in: self, environment: environment)
    }

    /// Not a wrapper that starts another one: its pid must be the program's.
    static let python = "/usr/bin/python3"

    /// What a client reads from an address, "refused" when it may not connect.
    func ask(_ address: String, port: Int) throws -> String {
        let text = try shell("timeout $PATIENCE socat -u TCP4:\(address):\(port) - 2>&1 || true")
        return text.contains("Connection refused") ? "refused" : text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
