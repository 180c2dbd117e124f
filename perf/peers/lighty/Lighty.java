import io.lighty.core.controller.impl.LightyControllerBuilder;
import io.lighty.core.controller.impl.util.ControllerConfigUtils;
import io.lighty.modules.northbound.restconf.community.impl.CommunityRestConfBuilder;
import io.lighty.modules.northbound.restconf.community.impl.util.RestConfConfigUtils;
import io.lighty.modules.southbound.netconf.impl.NetconfTopologyPluginBuilder;
import io.lighty.modules.southbound.netconf.impl.util.NetconfConfigUtils;
import io.lighty.server.LightyServerBuilder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HashSet;

/** The peer: OpenDaylight's MD-SAL, RESTCONF and NETCONF topology in one process, as lighty.io puts them together. */
public final class Lighty {
    public static void main(final String[] args) throws Exception {
        final var models = new HashSet<>(RestConfConfigUtils.YANG_MODELS);
        models.addAll(NetconfConfigUtils.NETCONF_TOPOLOGY_MODELS);
        final var controller = new LightyControllerBuilder()
            .from(ControllerConfigUtils.getDefaultSingleNodeConfiguration(models)).build();
        controller.start().get();
        final var services = controller.getServices();

        final var restconf = RestConfConfigUtils.getDefaultRestConfConfiguration(services);
        restconf.setInetAddress(InetAddress.getByName("127.0.0.1"));
        restconf.setHttpPort(Integer.parseInt(args[0]));
        final var address = new InetSocketAddress(restconf.getInetAddress(), restconf.getHttpPort());
        final var north = CommunityRestConfBuilder.from(restconf)
            .withLightyServer(new LightyServerBuilder(address)).build();
        north.start().get();
        north.startServer();

        final var netconf = NetconfConfigUtils.createDefaultNetconfConfiguration();
        NetconfTopologyPluginBuilder
            .from(NetconfConfigUtils.injectServicesToTopologyConfig(netconf, services), services)
            .build().start().get();
        System.out.println("ready");
    }
}
