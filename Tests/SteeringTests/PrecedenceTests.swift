import Foundation
import KernelTestSupport
import Testing

@testable import Steering

/// The implementations of the order that ``Precedence`` defines, on bindings of every combination of its criteria, which
/// all match one packet. `ClassifierAgreementTests` compares the program.
@Suite
struct PrecedenceTests {
    private struct Case {
        let binding: Binding
        /// The criteria from the most important to the least; greater decides.
        let rank: [Int]
    }

    private static let packet = Packet(
        .tcp, to: try! SocketAddress("10.1.2.3:80"), from: try! SocketAddress("192.0.2.1:1024"), on: "eth0")

    private func cases() throws -> [Case] {
        var cases: [Case] = []
        for length in [0, 8, 24, 32] {
            for source in [nil, 8, 24] {
                for interface in [nil, "eth0"] as [InterfaceName?] {
                    for ports in ["80", "80,81", "all"] {
                        for protocols in [ProtocolMatch.tcp, .both] {
                            let binding = try Binding(
                                protocols, to: IPPrefix(masking: IPAddress("10.1.2.3"), length: length),
                                ports: PortSet(ports),
                                from: source.map { IPPrefix(masking: try IPAddress("192.0.2.1"), length: $0) },
                                on: interface, .label(Label("label-\(cases.count)")))
                            cases.append(
                                Case(
                                    binding: binding,
                                    rank: [
                                        length, source ?? 0, interface == nil ? 0 : 1, -binding.ports.count,
                                        protocols == .both ? 0 : 1,
                                    ]))
                        }
                    }
                }
            }
        }
        return cases
    }

    @Test("Destination, source, interface, ports and protocol decide, in this order")
    func order() throws {
        let cases = try cases()
        for one in cases {
            for other in cases where one.rank != other.rank {
                let isLess = one.rank.lexicographicallyPrecedes(other.rank)
                #expect((one.binding.precedence < other.binding.precedence) == isLess)
            }
        }
    }

    @Test("Stored records have this order within a prefix")
    func records() throws {
        let cases = try cases()
        let ranks = Dictionary(uniqueKeysWithValues: cases.map { ($0.binding, $0.rank) })
        let bindings = Policy(cases.map(\.binding)).bindings
        #expect(bindings.count == cases.count)
        for (one, next) in zip(bindings, bindings.dropFirst()) where one.prefix == next.prefix {
            #expect(try #require(ranks[next]).lexicographicallyPrecedes(try #require(ranks[one])))
        }
        let records = Policy(cases.map(\.binding)).records.records
        for (one, next) in zip(records, records.dropFirst()) where one.hasPrefix(of: next) {
            #expect(one.isConditional || !next.isConditional)
            if !one.isConditional { #expect(one.rank < next.rank) }
        }
    }

    @Test("The matchers take the greatest, and explanations list by it, each with the criterion that decides")
    func explanations() throws {
        let descending = try cases().sorted { $1.rank.lexicographicallyPrecedes($0.rank) }
        let criteria = ["/", "source", "interface", "port", "protocol"]
        for skipped in descending.indices {
            let rest = descending[skipped...]
            let policy = Policy(rest.map(\.binding).shuffled())
            #expect(ReferenceMatcher(policy).winner(for: Self.packet) == rest.first?.binding)
            #expect(BindingFinder(policy).winner(for: Self.packet) == rest.first?.binding)
        }
        let all = ReferenceMatcher(Policy(descending.map(\.binding))).candidates(for: Self.packet)
        #expect(all == descending.map(\.binding))
        for (index, one) in descending.enumerated() {
            for other in descending[(index + 1)...] {
                let decisive = try #require(zip(one.rank, other.rank).enumerated().first { $1.0 != $1.1 }?.offset)
                let reason = try #require(one.binding.precedence.reason(over: other.binding.precedence))
                #expect(reason.contains(criteria[decisive]), "\(one.binding) over \(other.binding): \(reason)")
            }
        }
    }

    @Test("The documents list the criteria in this order", arguments: ["ARCHITECTURE.md", "steer.md", "glossary.md"])
    func documents(name: String) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let text = try String(contentsOf: root.appending(path: "docs/\(name)"), encoding: .utf8)
            .replacing("\n", with: " ")
        let words =
            /longer destination prefix[,;] (then )?(the )?longer source prefix[,;] (then )?an interface over none[,;] (then )?fewer ports[,;] (then )?one protocol over both/
        #expect(text.contains(words))
    }
}
