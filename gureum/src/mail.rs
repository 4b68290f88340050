//! `gureum mail`: what the cloud has sent by e-mail. Reads the maildir; the cloud need not run.

use serde_json::{Value, json};

use crate::cli::MailArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::output::say;

pub(crate) fn run(args: &MailArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(&args.cloud)?).mail();
    let doing = format!("cannot read the mail in {}", dir.display());
    let all = gureum_mail::read(&dir).or_fail(doing)?;
    let wanted = |mail: &gureum_mail::Received| {
        let address = args.address.as_deref();
        address.is_none_or(|wanted| mail.to.iter().any(|to| to.eq_ignore_ascii_case(wanted)))
    };
    let mails: Vec<_> = all.into_iter().filter(wanted).collect();
    if args.json {
        let mails: Vec<_> = mails.iter().map(shown).collect();
        say(format_args!("{:#}", Value::from(mails)));
        return Ok(());
    }
    if mails.is_empty() {
        say("No mail.");
    }
    for mail in &mails {
        say(format_args!("From:    {}", mail.from));
        say(format_args!("To:      {}", mail.to.join(", ")));
        say(format_args!(
            "Date:    {}",
            moment(mail).as_deref().unwrap_or("?")
        ));
        say(format_args!("Subject: {}\n", mail.subject));
        say(format_args!("{}\n", mail.text.trim_end()));
    }
    Ok(())
}

fn moment(mail: &gureum_mail::Received) -> Option<String> {
    Some(gureum_schema::Timestamp::from_secs(mail.date?).to_string())
}

fn shown(mail: &gureum_mail::Received) -> Value {
    json!({
        "file": mail.file,
        "date": moment(mail),
        "from": mail.from,
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
    })
}
