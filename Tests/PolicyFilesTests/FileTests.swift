import Glibc
import PolicyFiles
import Steering
import Testing

@Suite struct FileTests {
    private func message(_ path: String, _ format: PolicyFormat? = nil) -> String {
        do throws(SteeringError) {
            return "no error, \(try PolicyFile.read(contentsOf: path, format: format))"
        } catch {
            #expect(error.code == .invalidPolicyFile)
            return error.message
        }
    }

    private let fromFile =
        "bindings: [{label: a, protocols: tcp, prefixes: 2::/16, prefixes-from: prefixes.txt, ports: 1}]"

    @Test("the extension tells the format") func formats() throws {
        let directory = try TemporaryDirectory()
        try #expect(PolicyFile.read(contentsOf: directory.write("bindings: []", to: "policy.yaml")).isEmpty)
        let path = try directory.write("bindings: []", to: "policy.json")
        #expect(message(path).hasPrefix("\(path):1:1: JSON needs a value"))
        try #expect(PolicyFile.read(contentsOf: path, format: .yaml).isEmpty)
    }

    @Test("a pipe is read where that may wait, and by a service it is not") func pipes() throws {
        let directory = try TemporaryDirectory(), path = "\(directory.path)/fifo"
        #expect(mkfifo(path, 0o600) == 0)
        let writer = try #require(
            popen("exec 3>\(path); sleep 0.2; printf 'bindings: ' >&3; sleep 0.2; printf '[]' >&3", "w"))
        try #expect(PolicyFile.read(contentsOf: path).isEmpty)
        #expect(pclose(writer) == 0)
        let silent = try #require(popen(": >\(path)", "w"))
        #expect(message(path).contains("no data came from the pipe"))
        #expect(pclose(silent) == 0)
        let service = #expect(throws: SteeringError.self) { try PolicyFile.readForService(contentsOf: path) }
        #expect(service?.message.contains("not a regular file") == true)
    }

    @Test("only regular files are read") func kinds() throws {
        let directory = try TemporaryDirectory()
        #expect(message("/nonexistent/x").contains("/nonexistent/x cannot be read, No such file"))
        #expect(message(directory.path).contains("it is a directory"))
        #expect(message("/dev/zero").contains("not a regular file"))
        for name in ["a\0b", "a\nb", "a\u{7F}"] {
            #expect(message(name).contains("its name has a control character") && !message(name).contains("\n"))
        }
        let large = try directory.write("", to: "large")
        #expect(truncate(large, PolicyFile.maximumSize + 1) == 0)
        #expect(message(large).contains("larger than 64 MiB"))
    }

    @Test("prefixes-from reads a file beside the policy") func prefixesFrom() throws {
        let directory = try TemporaryDirectory()
        try directory.write("# all\n\n192.0.2.0/24\r\n  2001:db8::/32 # one\n\t::1/128", to: "prefixes.txt")
        let policy = try PolicyFile.read(contentsOf: directory.write(fromFile, to: "policy.yaml"))
        #expect(policy.bindings.map(\.prefix) == ["192.0.2.0/24", "::1/128", "2::/16", "2001:db8::/32"])
    }

    @Test("errors of prefixes-from name the file that has them") func prefixesFromErrors() throws {
        let directory = try TemporaryDirectory()
        let policy = try directory.write(fromFile, to: "policy.yaml")
        #expect(message(policy).hasPrefix("\(policy):1:72: \(directory.path)/prefixes.txt cannot be read"))
        let list = try directory.write("# none\n", to: "prefixes.txt")
        #expect(message(policy).hasPrefix("\(policy):1:72: \(list) has no prefix"))
        try directory.write("::/8\n  1.2.3.4\n", to: "prefixes.txt")
        #expect(message(policy).hasPrefix("\(list):2:3: 1.2.3.4 is an address"))
        try directory.write("::/8\n::/9 ::/10\n", to: "prefixes.txt")
        #expect(message(policy).hasPrefix("\(list):2:1: \"::/9 ::/10\""))
    }

    @Test("a conflict between two files names both") func conflictAcrossFiles() throws {
        let directory = try TemporaryDirectory()
        let list = try directory.write("\n1.0.0.0/8\n", to: "prefixes.txt")
        let other = "bindings: [{outcome: pass, protocols: tcp, prefixes: 1.0.0.0/8, ports: 1}, "
        let policy = try directory.write(other + fromFile.dropFirst("bindings: [".count), to: "policy.yaml")
        #expect(message(policy).hasPrefix("\(list):2:1: conflict with \(policy):1:54: bindings "))
    }
}
