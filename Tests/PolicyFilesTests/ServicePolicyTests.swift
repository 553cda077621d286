import Glibc
import PolicyFiles
import Steering
import Testing

/// `allow` and `start`: what policy files say to steerd.
@Suite struct ServicePolicyTests {
    private func read(_ labels: String) throws -> ServicePolicy {
        let folder = try TemporaryDirectory()
        let path = try folder.write("labels: { \(labels) }\nbindings: []\n", to: "policy.yaml")
        return try PolicyFile.readForService(contentsOf: path)
    }

    @Test("Users and groups by name and by number, one or a list, beside other options or without them")
    func reading() throws {
        let service = try read(
            "a: { allow: { users: root } }, b: { allow: { users: [root, 4711], groups: [root, 0, 12] }, without-socket: pass }, "
                + "c: { allow: { groups: 7 } }, d: { without-socket: pass }")
        #expect(
            service.services.mapValues(\.allowance) == [
                "a": Allowance(users: [0]), "b": Allowance(users: [0, 4711], groups: [0, 12]),
                "c": Allowance(groups: [7]),
            ])
        #expect(service.policy.options.keys.sorted() == ["b", "d"])
    }

    @Test(
        "A name that the machine does not have, and a number that is none, are refused with their place",
        arguments: [
            ("users", "no-such-user"), ("groups", "no-such-group"), ("users", "-1"), ("users", "4294967295"),
            ("users", "007"), ("groups", "1.5"),
        ])
    func unknown(kind: String, name: String) throws {
        let error = try #require(throws: SteeringError.self) { try read("a: { allow: { \(kind): [root, \(name)] } }") }
        #expect(error.code == .invalidPolicyFile && error.message.contains("\"\(name)\""), "\(error)")
        #expect(error.message.contains("policy.yaml:1:\(kind == "users" ? 39 : 40): "), "\(error)")
    }

    @Test("What is started is a program by its path, as a text or a list, as a user or steerd's own")
    func start() throws {
        let service = try read(
            "a: { start: /bin/web }, b: { start: [/bin/web, a b] }, "
                + "c: { start: { command: /bin/web -v  x, user: root }, allow: { users: 7 }, without-socket: pass }")
        #expect(
            service.services.mapValues(\.start) == [
                "a": StartCommand(["/bin/web"]), "b": StartCommand(["/bin/web", "a b"]),
                "c": StartCommand(["/bin/web", "-v", "x"], user: 0),
            ])
        #expect(service.services["a"]?.allowance == Allowance())
        #expect(service.services["c"]?.allowance == Allowance(users: [7]))
    }

    @Test(
        "A command that is none is refused with its place",
        arguments: [
            ("web", "absolute path"), ("[]", "empty list"), ("''", "absolute path"), ("[[/bin/web]]", "a list"),
            ("{ user: root }", "has no command"), ("{ command: /bin/web, user: no-such-user }", "no user"),
            ("{ command: /bin/web, users: root }", "did you mean user?"), ("{ command: {} }", "a mapping"),
        ])
    func invalidStart(start: String, hint: String) throws {
        let error = try #require(throws: SteeringError.self) { try read("a: { start: \(start) }") }
        #expect(error.code == .invalidPolicyFile && error.message.contains(hint), "\(error)")
        #expect(error.message.contains("policy.yaml:1:"), "\(error)")
    }

    @Test("A policy is read for steering without asking who its users are")
    func elsewhere() throws {
        let text = "labels: { a: { allow: { users: no-such-user }, without-socket: pass } }\nbindings: []\n"
        let policy = try PolicyFile.parse(text, name: "f", format: .yaml)
        #expect(policy["a"].withoutSocket == .pass)
    }
}
