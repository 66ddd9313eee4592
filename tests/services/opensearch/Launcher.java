import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/**
 * Runs one node with the modules of the class path: {@code Launcher HOME}, with its config in HOME/config.
 *
 * <p>It goes past the class Bootstrap: no security manager, no jar hell check, no bootstrap checks, and root may run
 * it. For tests on loopback only.
 */
final class Launcher {
    private static final List<Class<? extends Plugin>> MODULES = List.of(
        org.opensearch.transport.Netty4Plugin.class,
        org.opensearch.analysis.common.CommonAnalysisPlugin.class,
        org.opensearch.index.reindex.ReindexPlugin.class,
        org.opensearch.ingest.common.IngestCommonPlugin.class,
        org.opensearch.ingest.useragent.IngestUserAgentPlugin.class,
        org.opensearch.painless.PainlessPlugin.class,
        org.opensearch.script.expression.ExpressionPlugin.class,
        org.opensearch.script.mustache.MustachePlugin.class,
        org.opensearch.search.aggregations.matrix.MatrixAggregationPlugin.class,
        org.opensearch.index.mapper.MapperExtrasPlugin.class,
        org.opensearch.join.ParentJoinPlugin.class,
        org.opensearch.percolator.PercolatorPlugin.class,
        org.opensearch.index.rankeval.RankEvalPlugin.class,
        org.opensearch.geo.GeoModulePlugin.class
    );

    private static final class LocalNode extends Node {
        LocalNode(Environment environment) {
            super(environment, MODULES, true);
        }
    }

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]);
        LogConfigurator.registerErrorListener();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            Settings.EMPTY, Map.of("path.home", home.toString()), home.resolve("config"), () -> "node");
        LogConfigurator.setNodeName("node");
        LogConfigurator.configure(environment);
        Node node = new LocalNode(environment);
        try {
            node.start();
        } catch (Throwable problem) {
            problem.printStackTrace();
            System.exit(1);
        }
        // It ends by a signal: nothing of it is kept.
        new CountDownLatch(1).await();
    }
}
