import Glibc
import KernelTestSupport
import Steering
import Testing

/// The protocol of sd_listen_fds(3): in this process with variables that refuse before a descriptor is
/// touched, and in a process that really was passed some.
struct ActivatedSocketsTests {
    /// Runs the probe with LISTEN_PID its own, other variables and descriptors as given.
    private func probe(_ variables: String, _ redirections: String = "3</dev/null 4</dev/null") throws -> String {
        let probe = try Programs.path(of: "steering-probe")
        return try Programs.run("exec \(redirections) 5<&-; LISTEN_PID=$$ \(variables) exec \(probe) activated").output
    }

    @Test("Descriptors come in order, with their names, close-on-exec, and stay open", .kernel)
    func passed() throws {
        #expect(try probe("LISTEN_FDS=2 LISTEN_FDNAMES=web:dns") == "3 web\n4 dns\n")
        #expect(try probe("LISTEN_FDS=1 LISTEN_FDNAMES=") == "3 \n")
        #expect(try probe("LISTEN_FDS=2 LISTEN_FDNAMES=web:web") == "3 web\n4 web\n")
        #expect(try probe("LISTEN_FDS=2") == "3 -\n4 -\n")
    }

    @Test(
        "What contradicts itself is refused", .kernel,
        arguments: [
            ("LISTEN_FDS=3", "descriptor 5 is not open"), ("LISTEN_FDS=2147483644", "descriptor 5 is not open"),
            ("LISTEN_FDS=2147483647", "more than a process can have"),
            ("LISTEN_FDS=2 LISTEN_FDNAMES=web", "has 1 names"), ("LISTEN_FDS=2 LISTEN_FDNAMES=a:b:c", "has 3 names"),
            ("LISTEN_FDS=2 LISTEN_FDNAMES=", "has 1 names"),
        ])
    func contradictions(variables: String, problem: String) throws {
        let output = try probe(variables)
        #expect(output.contains("invalidEnvironment") && output.contains(problem), "\(output)")
    }

    @Test(
        "Malformed numbers are refused by name",
        arguments: [
            "", " ", "-1", "+1", "1 ", " 1", "0x1", "1.0", "one", "99999999999999999999", "2147483648", "1\n",
            "\u{661}",
        ])
    func malformed(number: String) throws {
        let count = try #require(throws: SteeringError.self) {
            try ActivatedSockets.all(environment: ["LISTEN_PID": "\(getpid())", "LISTEN_FDS": number])
        }
        #expect(count.code == .invalidEnvironment && count.message.hasPrefix("LISTEN_FDS is"), "\(count)")
        let pid = try #require(throws: SteeringError.self) {
            try ActivatedSockets.all(environment: ["LISTEN_PID": number, "LISTEN_FDS": "1"])
        }
        #expect(pid.code == .invalidEnvironment && pid.message.hasPrefix("LISTEN_PID is"), "\(pid)")
    }

    @Test(
        "Without variables, or with another process's, there is no socket",
        arguments: [
            [:], ["LISTEN_FDS": "1"], ["LISTEN_PID": "\(getpid())"], ["LISTEN_PID": "1", "LISTEN_FDS": "1"],
            ["LISTEN_PID": "\(getpid())", "LISTEN_FDS": "0"],
        ])
    func notForUs(environment: [String: String]) throws {
        let error = try #require(throws: SteeringError.self) {
            try ActivatedSockets.all(environment: environment)
        }
        #expect(error.code == .socketNotFound, "\(error)")
        #expect(error.message.hasPrefix("no socket was passed to this process"))
        // What is set is not said to be missing.
        for variable in environment.keys { #expect(!error.message.contains("\(variable) is not"), "\(error)") }
        if !environment.isEmpty { #expect(!error.message.contains("are not set"), "\(error)") }
    }

    @Test("Process number 0 and a sign are no process")
    func zero() throws {
        let error = try #require(throws: SteeringError.self) {
            try ActivatedSockets.all(environment: ["LISTEN_PID": "0", "LISTEN_FDS": "1"])
        }
        #expect(error.code == .invalidEnvironment)
    }
}
