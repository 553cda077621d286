import ArgumentParser
import CommandSupport
import Steering

/// A process that holds a socket, in JSON.
struct OwnerReport: Encodable {
    let pid: Int32
    let command: String
    let uid: UInt32

    init(_ owner: SocketOwner) { (pid, command, uid) = (owner.pid, owner.command, owner.userID) }
}

/// A registered socket in JSON.
struct SocketReport: Encodable {
    let label, family, `protocol`, cookie, bound: String
    let standIn: Bool
    let owners: [OwnerReport]

    init(_ socket: RegisteredSocket, _ owners: [SocketOwner]) {
        label = socket.destination.label.name
        family = socket.destination.family.description
        `protocol` = socket.destination.transport.description
        cookie = socket.cookie.description
        bound = socket.boundAddress.description
        standIn = socket.isStandIn
        self.owners = owners.map(OwnerReport.init)
    }
}

/// Returns the first owner and the number of others.
func shortened(_ owners: [SocketOwner]) -> String {
    guard let first = owners.first else { return "-" }
    return "\(first)" + (owners.count > 1 ? " +\(owners.count - 1)" : "")
}

struct Sockets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sockets",
        abstract: "List the registered sockets and the processes that hold them.",
        discussion: """
            Stand-ins are other members of a SO_REUSEPORT group: the kernel spreads packets over the group, and \
            when the first member is closed, the next takes its place. Cookies are those of `ss -e`.
            """)

    @OptionGroup var target: Target

    private struct Report: Encodable {
        let sockets: [SocketReport]
    }

    func run() throws {
        let sockets = try target.open(for: .reading).sockets.list()
        let owners = (try? SocketSteering.owners(of: sockets, in: try target.namespace())) ?? [:]
        if target.json {
            return print(JSON.text(Report(sockets: sockets.map { SocketReport($0, owners[$0.cookie] ?? []) })))
        }
        var table = Table("LABEL", "PROTOCOL", "FAMILY", "COOKIE", "BOUND TO", "OWNER")
        for socket in sockets {
            let destination = socket.destination
            table.add(
                "\(destination.label)", "\(destination.transport)", "\(destination.family)", "\(socket.cookie)",
                "\(socket.boundAddress)\(socket.isStandIn ? " (stand-in)" : "")", shortened(owners[socket.cookie] ?? [])
            )
        }
        print(table.text())
    }
}
