package store

import "testing"

func TestFiveSpellingsAreOneChannel(t *testing.T) {
	for _, text := range []string{"s3://b/p/q", "s3://b/p/q/", "s3://b//p/q", "s3://b/p//q//", "s3://b///p/q/", "S3://b/p/q", " s3://b/p/q\n"} {
		u, err := ParseURL(text)
		if err != nil || u != (URL{Scheme: S3, Bucket: "b", Prefix: "p/q"}) || u.String() != "s3://b/p/q" {
			t.Errorf("%s: %+v %v", text, u, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"channel":                  "channel",
		"./a/../channel/":          "channel",
		"file:///mnt/channel/":     "/mnt/channel",
		"file:/mnt/channel":        "/mnt/channel",
		"FILE://LocalHost/mnt/a":   "/mnt/a",
		"a:b/c":                    "a:b/c",
		"HTTPS://Host/X":           "https://host/X",
		"s3://b":                   "s3://b",
		"https://user:pw@host/x/?": "https://host/x",
		"":                         "", "s3://": "", "s3:///p": "", "s3://b/../p": "", "s3://b/a\nb": "", "s3://b/p?x=y": "", "s3://b/p#x": "", "s3://b?": "",
		"s3:b/p": "", "s3:/b/p": "", "S3:b": "", "https:/host": "", "file:": "", "file:channel": "", "  ": "",
		"file:///mnt/a%23b": "/mnt/a#b", "file:///mnt/a#b": "", "file:///mnt/a?": "", "./a#b": "a#b",
		"ftp://host/x": "", "file://host/x": "", "https://": "",
	} {
		u, err := ParseURL(text)
		if (err != nil) != (want == "") || err == nil && u.String() != want {
			t.Errorf("%q: %q %v", text, u, err)
		}
	}
}

func TestWebURLsOfS3(t *testing.T) {
	for text, want := range map[string]string{
		"https://b.s3.amazonaws.com/p/q/": "s3://b/p/q", "https://my.bucket.s3.us-west-2.amazonaws.com/p": "s3://my.bucket/p", "https://s3.us-west-2.amazonaws.com/b/p%20q": "s3://b/p q",
		"https://b.s3-eu-west-1.amazonaws.com": "s3://b", "https://b.s3.dualstack.eu-west-1.amazonaws.com/p": "s3://b/p", "https://b.s3.cn-north-1.amazonaws.com.cn/p": "s3://b/p",
		"https://s3.amazonaws.com": "", "https://conda.anaconda.org/b": "", "https://s3.amazonaws.com.evil.example/b": "", "s3://b/p": "", "folder": "",
	} {
		u, err := ParseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		if in, ok := u.InS3(); ok != (want != "") || ok && in.String() != want {
			t.Errorf("%s: %s, %v", text, in, ok)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("s3://b//p/")
	f.Add("file:///x")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil || u.Scheme != S3 {
			return
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Fatalf("%q: %+v, again %+v %v", text, u, again, err)
		}
	})
}
