//! The Java side: jars from Maven Central, our few classes, the command to run them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::error::{Context, Error};
use crate::servers::{hdfs, metastore};
use crate::{files, process};

/// Our own classes; the rest of the Java here is Apache's.
const SOURCES: &[(&str, &str)] = &[
    ("Groups.java", include_str!("../java/Groups.java")),
    ("Launch.java", include_str!("../java/Launch.java")),
    ("Metastore.java", include_str!("../java/Metastore.java")),
    ("Query.java", include_str!("../java/Query.java")),
    ("Servers.java", include_str!("../java/Servers.java")),
    ("World.java", include_str!("../java/World.java")),
];

const HADOOP: &str = "3.4.2";
const HADOOP_JARS: &[&str] = &[
    "org.apache.hadoop:hadoop-common:3.4.2",
    "org.apache.hadoop:hadoop-hdfs:3.4.2",
    "org.apache.hadoop:hadoop-hdfs-client:3.4.2",
];

const METASTORE: &str = "3.1.3";
/// What the metastore's archive expects from a Hadoop and Hive installation around
/// it, a JDBC driver, and Derby's network server and client (the archive has the
/// embedded engine, of the same version).
const METASTORE_JARS: &[&str] = &[
    "commons-beanutils:commons-beanutils:1.9.4",
    "commons-collections:commons-collections:3.2.2",
    "org.apache.derby:derbyclient:10.10.2.0",
    "org.apache.derby:derbynet:10.10.2.0",
    "org.mariadb.jdbc:mariadb-java-client:2.7.12",
];
/// Jars in the metastore's archive of which Hadoop brings a newer version, and the
/// bridges that would log twice.
const METASTORE_WITHOUT: &[&str] = &[
    "commons-lang3-",
    "guava-",
    "httpcore-",
    "jackson-",
    "log4j-1.2-api-",
    "log4j-slf4j-impl-",
    "metrics-core-",
];

/// What every JVM here gets: a quick start matters more than top speed, and Hadoop,
/// the metastore and their libraries look into the JDK.
const FLAGS: &[&str] = &[
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    // A JVM's own warnings would go to standard output.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.net.preferIPv4Stack=true",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
];

/// A JDK and the class path.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    home: PathBuf,
    class_path: OsString,
    metastore_home: PathBuf,
    /// The classes of the class path as the JVM keeps them in memory (`AppCDS`), which
    /// saves a third of a start. A JVM that cannot use it says nothing and does without.
    archive: PathBuf,
}

/// The archive's name in its cache entry.
const ARCHIVE: &str = "classes.jsa";

impl Java {
    /// Finds the JDK, and downloads and compiles what the cache does not have yet.
    pub(crate) fn prepare(
        cache: &Cache,
        mark: &(String, String),
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, Error> {
        let home = home().ok_or_else(|| Error::Packages {
            packages: "default-jdk-headless (Java 17 or newer)".to_owned(),
        })?;
        // Without a project in `folder` Maven would take one in the current folder.
        let maven = |folder: &Path, artifacts: &[&str], arguments: &[String]| {
            let pom = folder.join("pom.xml");
            files::write(&pom, 0o644, &pom_xml(artifacts))?;
            let mut command = process::tool("mvn", mark);
            command
                .env("JAVA_HOME", &home)
                .args(["--batch-mode", "--quiet", "--file"])
                .arg(pom)
                .args(arguments);
            files::run(&mut command, "mvn").map(drop)
        };
        let jars = |folder: &Path, artifacts: &[&str], transitive: bool| {
            let arguments = [
                "dependency:copy-dependencies".to_owned(),
                format!("-DexcludeTransitive={}", !transitive),
                format!("-DoutputDirectory={}", folder.join("lib").display()),
            ];
            maven(folder, artifacts, &arguments)
        };
        let hadoop = cache.entry(&format!("hadoop-{HADOOP}"), HADOOP_JARS, |folder| {
            progress("downloading Hadoop from Maven Central");
            jars(folder, HADOOP_JARS, true)
        })?;
        let metastore = cache.entry(
            &format!("metastore-{METASTORE}"),
            (METASTORE_JARS, METASTORE_WITHOUT),
            |folder| {
                progress("downloading the Hive metastore from Maven Central");
                let artifact =
                    format!("org.apache.hive:hive-standalone-metastore:{METASTORE}:tar.gz:bin");
                let arguments = [
                    "dependency:unpack".to_owned(),
                    format!("-Dartifact={artifact}"),
                    format!("-DoutputDirectory={}", folder.display()),
                ];
                maven(folder, &[], &arguments)?;
                let unpacked = folder.join(format!("apache-hive-metastore-{METASTORE}-bin"));
                fs::rename(&unpacked, folder.join("home")).context("rename", &unpacked)?;
                let lib = folder.join("home/lib");
                for jar in jars_in(&lib)? {
                    let name = jar.file_name().unwrap_or_default().to_string_lossy();
                    if METASTORE_WITHOUT.iter().any(|less| name.starts_with(less)) {
                        fs::remove_file(&jar).context("remove", &jar)?;
                    }
                }
                jars(folder, METASTORE_JARS, false)
            },
        )?;
        let metastore_home = metastore.join("home");
        let mut parts = jars_in(&hadoop.join("lib"))?;
        parts.extend(jars_in(&metastore_home.join("lib"))?);
        parts.extend(jars_in(&metastore.join("lib"))?);
        let libraries = join(&parts);

        let ours = cache.entry("classes", (SOURCES, &libraries), |folder| {
            progress("compiling the servers' launcher");
            compile(folder, &home, &libraries, mark)
        })?;
        let mut class_path = ours.join("sandbox.jar").into_os_string();
        class_path.push(":");
        class_path.push(&libraries);
        let archive = cache
            .path("archive", (&class_path, release(&home)))
            .join(ARCHIVE);
        Ok(Self {
            home,
            class_path,
            metastore_home,
            archive,
        })
    }

    /// Makes the archive of classes unless it is there. `rehearse` runs the servers once
    /// in a folder that it is given, with the option that it is given.
    pub(crate) fn archive(
        &self,
        cache: &Cache,
        rehearse: impl FnOnce(&Path, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let recipe = (&self.class_path, release(&self.home));
        let made = cache.entry("archive", recipe, |folder| {
            let new = folder.join(ARCHIVE);
            let play = folder.join("rehearsal");
            rehearse(
                &play,
                &format!("-XX:ArchiveClassesAtExit={}", new.display()),
            )?;
            files::remove(&play)
        });
        made.map(drop)
    }

    /// The `java` program.
    pub(crate) fn program(&self) -> PathBuf {
        self.home.join("bin/java")
    }

    /// The metastore's archive, unpacked: its scripts are in there.
    pub(crate) fn metastore_home(&self) -> &Path {
        &self.metastore_home
    }

    /// Adds to `command` (which runs [`Java::program`]) flags and the class to run,
    /// with the configuration files in `conf`. `heap` is in MiB, `log` the path of a
    /// log4j configuration.
    pub(crate) fn class(
        &self,
        command: &mut Command,
        heap: u32,
        log: &Path,
        conf: &[PathBuf],
        class: &str,
    ) {
        command
            .arg(format!("-Xmx{heap}m"))
            .arg(format!("-Dlog4j.configuration=file:{}", log.display()))
            .args(FLAGS);
        // With the name of one that is not there the JVM would not make it either.
        if self.archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", self.archive.display()));
        }
        command
            .arg("-cp")
            .arg(&self.class_path)
            .arg("opsweek.Launch")
            .arg(join(conf))
            .arg(class)
            .env("METASTORE_HOME", &self.metastore_home);
    }

    /// A client: runs `class` of Hadoop, the metastore or ours to its end, with the
    /// configuration of the sandbox `dir`.
    pub(crate) fn client(&self, dir: &Path, class: &str) -> Command {
        let mut command = Command::new(self.program());
        let conf = [hdfs::conf(dir), metastore::conf(dir)];
        let log = conf[0].join("log4j.properties");
        self.class(&mut command, 512, &log, &conf, class);
        command
    }
}

/// A project that has nothing but dependencies (`group:artifact:version`).
fn pom_xml(artifacts: &[&str]) -> String {
    let dependencies: String = artifacts
        .iter()
        .filter_map(|artifact| {
            let mut part = artifact.split(':');
            Some(format!(
                "<dependency><groupId>{}</groupId><artifactId>{}</artifactId>\
                 <version>{}</version></dependency>\n",
                part.next()?,
                part.next()?,
                part.next()?
            ))
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>opsweek</groupId><artifactId>jars</artifactId><version>1</version>\n\
         <packaging>pom</packaging>\n\
         <dependencies>\n{dependencies}</dependencies>\n\
         </project>\n"
    )
}

/// Our classes in one jar, with what Hadoop's jars on Maven Central lack: the
/// folders of the web interfaces, without which the servers do not start.
fn compile(
    folder: &Path,
    home: &Path,
    libraries: &OsString,
    mark: &(String, String),
) -> Result<(), Error> {
    let classes = folder.join("classes");
    files::folder(&classes)?;
    for web in ["hdfs", "datanode"] {
        let inf = classes.join("webapps").join(web).join("WEB-INF");
        files::folder(&inf)?;
        files::write(&inf.join("web.xml"), 0o644, "<web-app/>\n")?;
    }
    let mut javac = process::tool(home.join("bin/javac"), mark);
    javac
        .args(["--release", "17", "-cp"])
        .arg(libraries)
        .arg("-d")
        .arg(&classes);
    for (name, text) in SOURCES {
        let source = folder.join(name);
        files::write(&source, 0o644, text)?;
        javac.arg(source);
    }
    files::run(&mut javac, "javac")?;
    let mut jar = process::tool(home.join("bin/jar"), mark);
    jar.arg("--create")
        .arg("--file")
        .arg(folder.join("sandbox.jar"))
        .arg("-C")
        .arg(&classes)
        .arg(".");
    files::run(&mut jar, "jar").map(drop)
}

/// The jars in a folder, in the order of their names.
fn jars_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut jars: Vec<PathBuf> = fs::read_dir(folder)
        .context("list", folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
        .collect();
    jars.sort();
    Ok(jars)
}

fn join(paths: &[PathBuf]) -> OsString {
    let mut joined = OsString::new();
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            joined.push(":");
        }
        joined.push(path);
    }
    joined
}

/// The folder of a JDK 17 or newer: `JAVA_HOME`, the `javac` in PATH, Debian's default.
pub(crate) fn home() -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("javac"))
            .find(|javac| javac.exists())
            .and_then(|javac| Some(fs::canonicalize(javac).ok()?.parent()?.parent()?.to_owned()))
    });
    [
        std::env::var_os("JAVA_HOME").map(PathBuf::from),
        in_path,
        Some(PathBuf::from("/usr/lib/jvm/default-java")),
    ]
    .into_iter()
    .flatten()
    .find(|home| {
        home.join("bin/javac").exists() && major(&release(home)).is_some_and(|major| major >= 17)
    })
}

/// What a JDK's folder says about its version.
fn release(home: &Path) -> String {
    fs::read_to_string(home.join("release")).unwrap_or_default()
}

/// The feature release in a JDK's `release` file (`JAVA_VERSION="17.0.15"`).
fn major(release: &str) -> Option<u32> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?
        .split(['.', '"', '-', '+'])
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_release_is_read() {
        assert_eq!(
            major("IMAGE_TYPE=\"JDK\"\nJAVA_VERSION=\"17.0.15\"\n"),
            Some(17)
        );
        assert_eq!(major("JAVA_VERSION=\"21\""), Some(21));
        assert_eq!(major("JAVA_VERSION=\"1.8.0_402\""), Some(1));
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_pom_lists_its_artifacts() {
        let pom = pom_xml(&["a:b:1", "c:d:2"]);
        assert!(pom.contains("<groupId>c</groupId><artifactId>d</artifactId><version>2</version>"));
        assert_eq!(pom.matches("<dependency>").count(), 2);
    }
}
