import AddressPools
import ArgumentParser

/// The options that name the servers of a pool, for both commands.
package struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The metrics address of a steer-dns, which shows since when it has used a change; may be repeated.",
            valueName: "address:port"))
    var server: [String] = []

    @Option(help: ArgumentHelp("How long servers take to notice a change, without --server.", valueName: "seconds"))
    var reload = 5

    package init() {}

    package func validate() throws {
        if !(0...86_400).contains(reload) { throw ValidationError("--reload is 0 to 86,400 seconds") }
    }

    package func watch() throws -> ServerWatch {
        let servers = try server.map { text in
            do throws(AddressError) { return try SocketAddress(text) } catch { throw ValidationError("\(error)") }
        }
        return ServerWatch(servers: servers, reload: reload)
    }
}
