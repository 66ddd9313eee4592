import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.KeyStore;
import java.util.Base64;
import java.util.Collections;
import java.util.Random;
import java.util.TreeSet;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

/**
 * Does to a keystore what logstash-keystore does, by the same calls of java.security:
 *
 * <pre>
 * java MakeKeystores.java create FILE PASSWORD      PASSWORD "" is the default one, kept in the file
 * java MakeKeystores.java add FILE PASSWORD NAME VALUE
 * java MakeKeystores.java remove FILE PASSWORD NAME
 * java MakeKeystores.java read FILE PASSWORD        prints NAME=VALUE, sorted
 * </pre>
 */
public final class MakeKeystores {
    private static final String PREFIX = "urn:logstash:secret:v1:";

    public static void main(String[] words) throws Exception {
        Path file = Path.of(words[1]);
        boolean isDefault = words[2].isEmpty();
        char[] password = isDefault ? defaultPassword(file) : own(words[2]);
        KeyStore store = KeyStore.getInstance("pkcs12");
        if (words[0].equals("create")) {
            Files.createFile(file);
            store.load(null, null);
            put(store, password, "keystore.seed", "keystore.seed");
        } else {
            try (InputStream in = Files.newInputStream(file)) {
                store.load(in, password);
            }
        }
        switch (words[0]) {
            case "add" -> put(store, password, words[3], words[4]);
            case "remove" -> store.deleteEntry(PREFIX + words[3]);
            case "read" -> {
                print(store, password);
                return;
            }
            default -> { }
        }
        // The file is never cut: what is shorter than before leaves the end of what was there.
        try (FileOutputStream end = new FileOutputStream(file.toFile(), true)) {
            try (OutputStream out = Files.newOutputStream(file, StandardOpenOption.WRITE)) {
                store.store(out, password);
            }
            if (isDefault) {
                byte[] kept = obfuscated(new String(password).getBytes(StandardCharsets.US_ASCII));
                DataOutputStream length = new DataOutputStream(end);
                end.write(kept);
                length.write(kept.length);
            }
        }
    }

    private static char[] own(String password) {
        if (StandardCharsets.US_ASCII.newEncoder().canEncode(password)) {
            return password.toCharArray();
        }
        byte[] low = new byte[password.length()];
        for (int i = 0; i < low.length; i++) {
            low[i] = (byte) password.charAt(i);
        }
        return new String(Base64.getEncoder().encode(low), StandardCharsets.US_ASCII).toCharArray();
    }

    private static char[] defaultPassword(Path file) throws Exception {
        if (!Files.exists(file)) {
            byte[] random = new byte[32];
            new Random().nextBytes(random);
            return Base64.getEncoder().encodeToString(random).toCharArray();
        }
        byte[] all = Files.readAllBytes(file);
        int length = all[all.length - 1] & 0xff;
        int from = all.length - 1 - length;
        char[] password = new char[length / 2];
        for (int i = 0; i < password.length; i++) {
            password[i] = (char) (byte) (all[from + i] ^ all[from + length / 2 + i]);
        }
        return password;
    }

    private static byte[] obfuscated(byte[] password) {
        byte[] random = new byte[password.length];
        new Random().nextBytes(random);
        byte[] out = new byte[password.length * 2];
        for (int i = 0; i < password.length; i++) {
            out[i] = (byte) (password[i] ^ random[i]);
            out[password.length + i] = random[i];
        }
        return out;
    }

    private static void put(KeyStore store, char[] password, String name, String value) throws Exception {
        byte[] text = value.getBytes(StandardCharsets.UTF_8);
        PBEKeySpec spec = new PBEKeySpec(Base64.getEncoder().encodeToString(text).toCharArray());
        SecretKey key = SecretKeyFactory.getInstance("PBE").generateSecret(spec);
        store.setEntry(PREFIX + name, new KeyStore.SecretKeyEntry(key), new KeyStore.PasswordProtection(password));
    }

    private static void print(KeyStore store, char[] password) throws Exception {
        SecretKeyFactory factory = SecretKeyFactory.getInstance("PBE");
        for (String alias : new TreeSet<>(Collections.list(store.aliases()))) {
            KeyStore.SecretKeyEntry entry =
                (KeyStore.SecretKeyEntry) store.getEntry(alias, new KeyStore.PasswordProtection(password));
            PBEKeySpec spec = (PBEKeySpec) factory.getKeySpec(entry.getSecretKey(), PBEKeySpec.class);
            byte[] text = Base64.getDecoder().decode(new String(spec.getPassword()));
            System.out.println(alias + "=" + new String(text, StandardCharsets.UTF_8));
        }
    }
}
