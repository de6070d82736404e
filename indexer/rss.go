package indexer

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	rssName  = "rss.xml"
	rssItems = 100 // the newest packages, as many as conda-index takes
)

// rssFeed is an RSS 2.0 document.
type rssFeed struct {
	XMLName xml.Name   `xml:"rss"`
	Version string     `xml:"version,attr"`
	Channel rssChannel `xml:"channel"`
}

type rssChannel struct {
	Title       string    `xml:"title"`
	Link        string    `xml:"link"`
	Description string    `xml:"description"`
	PubDate     string    `xml:"pubDate,omitempty"`
	Items       []rssItem `xml:"item"`
}

type rssItem struct {
	Title       string  `xml:"title"`
	Description string  `xml:"description"`
	Link        string  `xml:"link,omitempty"`
	Comments    string  `xml:"comments,omitempty"`
	GUID        rssGUID `xml:"guid"`
	PubDate     string  `xml:"pubDate,omitempty"`
}

// rssGUID names a build in the channel; it is no address.
type rssGUID struct {
	IsPermaLink bool   `xml:"isPermaLink,attr"`
	Text        string `xml:",chardata"`
}

// rss is the text of rss.xml: the names whose newest build is the youngest. It
// has no time but those of builds, so that it stays as it is until one comes.
func (d channelData) rss(url string) []byte {
	names := slices.SortedFunc(maps.Keys(d.Packages), func(a, b string) int {
		return cmp.Or(cmp.Compare(d.Packages[b].Timestamp, d.Packages[a].Timestamp), cmp.Compare(a, b))
	})
	names = names[:min(len(names), rssItems)]
	feed := rssFeed{Version: "2.0", Channel: rssChannel{
		Title: path.Base(url), Link: url, Description: fmt.Sprintf("The most recent %d packages of %s", len(names), url),
	}}
	for _, name := range names {
		p := d.Packages[name]
		feed.Channel.Items = append(feed.Channel.Items, rssItem{
			Title:       fmt.Sprintf("%s %s [%s]", name, p.Version, strings.Join(p.Subdirs, ", ")),
			Description: cmp.Or(p.Description, p.Summary, "No description."),
			Link:        cmp.Or(firstText(p.DocURL), firstText(p.Home)), Comments: firstText(p.DevURL),
			GUID: rssGUID{Text: p.Reference}, PubDate: rssTime(p.Timestamp),
		})
	}
	if len(names) > 0 {
		feed.Channel.PubDate = feed.Channel.Items[0].PubDate
	}
	text, _ := xml.MarshalIndent(feed, "", "  ") // of texts alone, it cannot fail
	return slices.Concat([]byte(xml.Header), text, []byte("\n"))
}

// rssTime is a time in seconds as RSS has it, "" for none.
func rssTime(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC1123Z)
}

// firstText is a text, or the first one of a list.
func firstText(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(value, &list) == nil && len(list) > 0 {
		return list[0]
	}
	return ""
}
