#!/bin/sh
# Makes the keystores of this folder anew; README.md says what each is for. Needs a JDK, 17 or newer.
set -eu
cd "$(dirname "$0")"
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -d "$classes" MakeKeystores.java
rm -f ./*.keystore

keystore() { # FILE PASSWORD OPTION...
  file=$1 password=$2
  shift 2
  java "$@" -cp "$classes" MakeKeystores create "$file" "$password"
  java "$@" -cp "$classes" MakeKeystores add "$file" "$password" es_pwd 's3cret & "word"'
  java "$@" -cp "$classes" MakeKeystores add "$file" "$password" kafka.user pond
}

key() { echo "-Dkeystore.pkcs12.keyProtectionAlgorithm=$1"; }

keystore default.keystore ''
keystore password.keystore changeme
keystore wide-password.keystore 'pässwörd€'
keystore legacy.keystore changeme -Dkeystore.pkcs12.legacy
keystore legacy-default.keystore '' -Dkeystore.pkcs12.legacy
keystore rc2-40.keystore changeme "$(key PBEWithSHA1AndRC2_40)"
keystore rc2-128.keystore changeme "$(key PBEWithSHA1AndRC2_128)"
keystore sha1-aes128.keystore changeme "$(key PBEWithHmacSHA1AndAES_128)" -Dkeystore.pkcs12.macAlgorithm=HmacPBESHA384
keystore sha512-aes256.keystore changeme "$(key PBEWithHmacSHA512AndAES_256)" -Dkeystore.pkcs12.macAlgorithm=HmacPBESHA512
keystore sha224-aes256.keystore changeme "$(key PBEWithHmacSHA224AndAES_256)" -Dkeystore.pkcs12.macAlgorithm=HmacPBESHA224
keystore sha384-aes256.keystore changeme "$(key PBEWithHmacSHA384AndAES_256)" -Dkeystore.pkcs12.macAlgorithm=NONE
keystore rc4.keystore changeme "$(key PBEWithSHA1AndRC4_128)"

keystore removed.keystore ''
java -cp "$classes" MakeKeystores remove removed.keystore '' kafka.user

# Not of Logstash: a secret key without its marker, and the other types of Java.
printf 'word\nword\n' | keytool -importpass -noprompt -storetype pkcs12 -keystore keytool.keystore -storepass changeme -alias es_pwd
keytool -genkeypair -keyalg EC -dname CN=pond -storetype jks -keystore jks.keystore -storepass changeme -keypass changeme -alias pond
keytool -genseckey -keyalg AES -keysize 128 -storetype jceks -keystore jceks.keystore -storepass changeme -keypass changeme -alias pond
# Beside the secrets of Logstash there is a certificate.
cp password.keystore mixed.keystore
keytool -genkeypair -keyalg EC -dname CN=pond -storetype pkcs12 -keystore mixed.keystore -storepass changeme -alias pond
