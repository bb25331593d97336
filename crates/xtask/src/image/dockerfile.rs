//! Holds the `Dockerfile` to what `cargo xtask image` makes.

use haulout_image::Image;
use haulout_tests::cluster::workspace_root;

use super::contents::{AGENT, Documents, Program, WEBHOOK};

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace_root().join(name)).unwrap()
}

/// The instructions of a stage, without those that hold for all.
fn stage(dockerfile: &str, name: &str) -> Vec<String> {
    let start = format!("FROM scratch AS {name}\n");
    let (_, rest) = dockerfile.split_once(&start).unwrap();
    let stage = rest.split("\nFROM ").next().unwrap();
    let lines = stage.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn image(program: &Program) -> Image {
    let documents = Documents {
        licences: String::new(),
        sbom: String::new(),
    };
    program.image("/program".into(), documents).unwrap()
}

#[test]
fn stages_make_the_same_images() {
    let dockerfile = read("Dockerfile");
    for program in [&WEBHOOK, &AGENT] {
        let config = image(program).config;
        let ports: Vec<String> = (config.ports.iter())
            .map(|port| format!("{port}/tcp"))
            .collect();
        assert_eq!(
            stage(&dockerfile, program.name),
            [
                format!("COPY --from=build /root-of/{}/ /", program.name),
                format!("WORKDIR {}", config.working_directory),
                format!("USER {}:{}", config.user.user, config.user.group),
                format!("EXPOSE {}", ports.join(" ")),
                format!("ENTRYPOINT {:?}", config.entrypoint),
            ]
        );
        let image = image(program);
        let command = format!(
            "docker build --target {} --tag {} .",
            program.name, image.reference
        );
        assert!(dockerfile.contains(&command), "{command}");
    }
    assert!(dockerfile.contains("\nRUN cargo xtask image --output /images\n"));
}

#[test]
fn the_compiler_is_that_of_the_checkout() {
    let toolchain = read("rust-toolchain.toml");
    let (_, rest) = toolchain.split_once("channel = \"").unwrap();
    let version = rest.split('"').next().unwrap();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("\nFROM rust:{version}-slim-")));
    assert!(dockerfile.contains(&format!("\nENV RUSTUP_TOOLCHAIN={version}\n")));
}
