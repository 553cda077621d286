import ArgumentParser
import CommandSupport
import Steering

/// A label, and the command's sockets that it gets: `web`, `web=:80`, `web=tcp:127.0.0.1:80,tcp:[::1]:80`.
struct LabelWord {
    let label: Label
    let selectors: [SocketSelector]

    init(_ text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        label = try readLabel(parts[0])
        guard parts.count > 1 else {
            selectors = []
            return
        }
        selectors = try parts[1].split(separator: ",", omittingEmptySubsequences: false).map { place in
            let (transport, rest) = splitTransport(place)
            if transport != nil, rest.isEmpty { return SocketSelector(transport) }
            do throws(AddressError) { return try SocketSelector(transport, place: rest) } catch {
                throw ValidationError(
                    "\(place.debugDescription) is not a socket of the command: give one such as :8080, tcp:127.0.0.1:8080 or udp (\(error))"
                )
            }
        }
    }
}

/// The address of a socket to be made, and its label: `tcp:127.0.0.1:80`, `web=tcp:127.0.0.1:80`.
struct Place {
    let label: Label?
    let transport: TransportProtocol
    let address: SocketAddress

    init(_ text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        label = parts.count > 1 ? try readLabel(parts[0]) : nil
        let (transport, rest) = splitTransport(parts.last!)
        guard let transport, !rest.isEmpty else {
            throw ValidationError("\(text.debugDescription) is not a socket: give one such as tcp:127.0.0.1:8080")
        }
        self.transport = transport
        address = try parsed { try SocketAddress(rest) }
    }

    var isOfAnyIPv6Address: Bool { address.address.family == .ipv6 && address.address.bits == 0 }
}

private func readLabel(_ text: some StringProtocol) throws -> Label { try parsed { try Label(text) } }

/// Splits off a leading protocol: `tcp:127.0.0.1:80`, `tcp::80`, `tcp:80`, `:80`, `tcp`.
private func splitTransport(_ text: Substring) -> (TransportProtocol?, Substring) {
    let name = text.prefix { $0 != ":" }
    guard let transport = TransportProtocol.allCases.first(where: { $0.description == name }) else {
        return (nil, text)
    }
    let rest = text.dropFirst(name.count)
    // Without an address the rest is already :PORT.
    let isPort = rest.dropFirst().allSatisfy(\.isNumber)
    return (transport, isPort ? rest : rest.dropFirst())
}
