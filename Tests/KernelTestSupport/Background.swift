import Foundation

/// Waits until something holds, for as long as tests wait.
public func eventually(
    _ what: String, file: StaticString = #fileID, line: UInt = #line, _ holds: () throws -> Bool
) throws {
    let end = ContinuousClock.now + Patience.duration
    while .now < end {
        if try holds() { return }
        usleep(50_000)
    }
    throw Unmet(description: "\(what), not within \(Patience.seconds) s (\(file):\(line))")
}

/// A process in the background, killed with the last reference, and what it has started in its session with it.
public final class Background: Sendable {
    public let pid: Int32
    private let base: String

    /// Starts a command without shell syntax; what it prints goes to files in the folder.
    public init(_ command: String, folder: String, environment: String = "") throws {
        base = "\(folder)/background-\(UInt64.random(in: 0...UInt64.max))"
        let script =
            "echo $$ >\(base).group; : >\(base).out 2>\(base).err; \(environment) \(command) </dev/null >\(base).out 2>\(base).err & echo $! >\(base).pid; "
            + "wait $!; echo $? >\(base).code"
        try shell("setsid sh -c '\(script.replacing("'", with: "'\\''"))' </dev/null >/dev/null 2>&1 &")
        let base = base
        try eventually("\(command) starts") { try shell("cat \(base).pid 2>/dev/null || true").hasSuffix("\n") }
        pid = Int32(try shell("cat \(base).pid").dropLast())!
    }

    deinit { end() }

    /// Kills it, and what it has started: before its folder goes, where it is written who that is.
    public func end() {
        // As dash writes a group.
        _ = try? shell("test ! -e \(base).group || kill -KILL -$(cat \(base).group) 2>/dev/null || true")
    }

    /// What /proc says of each of its threads. One may end while it is read.
    public func threads(_ file: String) throws -> String {
        try shell("cat /proc/\(pid)/task/*/\(file) 2>/dev/null || true")
    }

    public var output: String { get throws { try shell("cat \(base).out") } }
    public var error: String { get throws { try shell("cat \(base).err") } }

    public func signal(_ name: String) throws { try shell("kill -\(name) \(pid)") }

    /// Its exit code, once it has ended.
    public func exitCode() throws -> Int32 {
        try eventually("process \(pid) ends") { try shell("cat \(base).code 2>/dev/null || true").hasSuffix("\n") }
        return Int32(try shell("cat \(base).code").dropLast())!
    }
}
