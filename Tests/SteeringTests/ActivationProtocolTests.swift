import KernelTestSupport
import Testing

@testable import Steering

/// The messages between steerd and its clients, as bytes.
@Suite
struct ActivationProtocolTests {
    private func read(_ text: String, descriptors: Int = 0) throws(SteeringError) -> ActivationRequest {
        try ActivationRequest(Array(text.utf8), descriptors: descriptors)
    }

    @Test(
        "Each request is written in one way, which is read",
        arguments: [
            ("steering/1 register web", ActivationRequest.register("web", replacing: false), 1),
            ("steering/1 register web replacing", .register("web", replacing: true), 253),
            ("steering/1 lend web", .lend("web", replacing: false), 1),
            ("steering/1 lend web replacing", .lend("web", replacing: true), 2),
            ("steering/1 standby web", .standby("web"), 1),
            ("steering/1 unregister web 1a2b", .unregister("web", SocketCookie("1a2b")), 0),
            ("steering/1 unregister web", .unregister("web"), 0), ("steering/1 claim a.b_c-d", .claim("a.b_c-d"), 0),
            ("steering/1 list web", .list("web"), 0), ("steering/1 status", .status, 0),
            ("steering/1 loaded", .loaded(nil), 0), ("steering/1 loaded web", .loaded("web"), 0),
            ("steering/1 metrics", .metrics, 0), ("steering/1 reload", .reload, 0), ("web#", .tubular("web"), 2),
        ])
    func requests(text: String, request: ActivationRequest, descriptors: Int) throws {
        #expect(try read(text, descriptors: descriptors) == request)
        #expect(String(decoding: request.bytes, as: UTF8.self) == text)
    }

    @Test(
        "Anything else is refused, and the sentence says why",
        arguments: [
            ("", 0, "invalidMessage", "begin"), (" ", 0, "invalidMessage", "begin"),
            ("steering/1", 0, "invalidMessage", "verb"), ("steering/1 ", 0, "invalidMessage", "verb"),
            ("steering/1 Claim web", 0, "invalidMessage", "verb"), ("claim web", 0, "invalidMessage", "begin"),
            ("steering/2 claim web", 0, "unsupportedVersion", "steering/1"),
            ("steering/11 claim web", 0, "unsupportedVersion", "steering/1"),
            ("steering/1 claim", 0, "invalidMessage", "label"), ("steering/1 claim ", 0, "invalidLabel", "empty"),
            ("steering/1 claim  web", 0, "invalidMessage", "more"),
            ("steering/1 claim web ", 0, "invalidMessage", "more"),
            ("steering/1 claim web now", 0, "invalidMessage", "more"),
            ("steering/1 status web", 0, "invalidMessage", "more"),
            ("steering/1 loaded web now", 0, "invalidMessage", "more"),
            ("steering/1 claim -web", 0, "invalidLabel", "begin"),
            ("steering/1 claim web\n", 0, "invalidMessage", "ASCII"),
            ("steering/1 claim w\u{e9}b", 0, "invalidMessage", "ASCII"),
            ("steering/1\0claim web", 0, "invalidMessage", "ASCII"),
            ("steering/1 register web", 0, "invalidMessage", "no socket"),
            ("steering/1 lend web", 0, "invalidMessage", "no socket"),
            ("steering/1 standby web", 0, "invalidMessage", "no socket"),
            ("steering/1 standby web replacing", 1, "invalidMessage", "more"),
            ("steering/1 lend web now", 1, "invalidMessage", "replacing"),
            ("steering/1 unregister web x", 0, "invalidMessage", "cookie"),
            ("steering/1 unregister web 1a", 1, "invalidMessage", "does not take"),
            ("steering/1 register web replace", 1, "invalidMessage", "replacing"),
            ("steering/1 register web replacing now", 1, "invalidMessage", "more"),
            ("steering/1 claim web", 1, "invalidMessage", "does not take"),
            ("steering/1 status", 1, "invalidMessage", "does not take"), ("web#", 0, "invalidMessage", "no socket"),
            ("#", 1, "invalidLabel", "empty"), ("we b#", 1, "invalidMessage", "begin"),
            ("web##", 1, "invalidLabel", "not allowed"),
        ])
    func refusals(text: String, descriptors: Int, code: String, reason: String) {
        #expect {
            try read(text, descriptors: descriptors)
        } throws: { error in
            let error = error as? SteeringError
            return error?.code.description == code && error!.message.contains(reason)
        }
    }

    @Test("A message is 256 bytes long at most")
    func length() {
        let long = "steering/1 claim \(String(repeating: "a", count: 256))"
        #expect(throws: SteeringError.self) { try read(long) }
        do throws(SteeringError) { _ = try read(long) } catch { #expect(error.code == .invalidMessage) }
    }

    @Test("Answers are read as they were written")
    func replies() throws {
        let lines = ["tcp 127.0.0.1:80 1f registered", "udp [::1]:53 2a held"]
        for reply in [
            ActivationReply.done([]), .done(lines), .tubular, .refused(.notAllowed, "you may not: ask root"),
        ] {
            #expect(try ActivationReply(reply.bytes) == reply)
        }
        #expect(try ActivationReply(Array("error laterCode later".utf8)) == .refused(.invalidMessage, "later"))
        for line in lines { #expect(try HeldSocket(line: line).line == line) }
        #expect(try HeldSocket(line: "\(lines[0]) and more").line == lines[0])
        let holdings = LabelHoldings("web", sockets: 2, DestinationMetrics(lookups: 3, misses: 4, incompatible: 5))
        #expect(holdings.line == "web 2 3 4 5")
        #expect(try LabelHoldings(line: "web 2 3 4 5 6") == holdings)
    }

    @Test(
        "What is no answer is refused",
        arguments: ["", "OK\n", "okay", "ok web", "error", "error notAllowed", "error a b\nc", "\u{fffd}ok"])
    func wrongReplies(text: String) {
        #expect(throws: SteeringError.self) { try ActivationReply(Array(text.utf8)) }
    }

    @Test(
        "Lines that are none of an answer's are refused",
        arguments: [
            "", "tcp 127.0.0.1:80 1f", "sctp 127.0.0.1:80 1f held", "tcp 127.0.0.1 1f held", "tcp [::1]:1 -1 held",
        ])
    func wrongLines(text: String) {
        #expect(throws: SteeringError.self) { try HeldSocket(line: text) }
        #expect(throws: SteeringError.self) { try LabelHoldings(line: text) }
    }

    @Test("Random and damaged bytes are read or refused, never more")
    func fuzz() {
        var random = SeededGenerator(seed: 5)
        let seeds = [
            "steering/1 register web replacing", "steering/1 claim web", "web#", "ok\ntcp [::1]:1 1f held", "error a b",
        ].map { Array($0.utf8) }
        for _ in 0..<50_000 {
            var bytes = seeds.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                if Bool.random(using: &random), place < bytes.count {
                    bytes.remove(at: place)
                } else {
                    bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                }
            }
            // What is understood is understood again once it is written anew.
            if let request = try? ActivationRequest(bytes, descriptors: 1) {
                #expect((try? ActivationRequest(request.bytes, descriptors: 1)) == request)
            }
            if let reply = try? ActivationReply(bytes), case .done(let lines) = reply {
                #expect((try? ActivationReply(reply.bytes)) == reply)
                for line in lines { _ = try? HeldSocket(line: line) }
            }
        }
    }
}
