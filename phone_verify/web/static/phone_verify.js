// The script of our pages. What <phone-verify> does too is in the client, which this script loads; here is what only
// pages do: they keep a box ticked, follow a call by the session's cookie, and send on the next channel.
// A template without the element needs no more than this script: the forms of the whole page are enhanced.
{
  const script = document.currentScript;
  const TYPING = 10000;
  const STUCK_AFTER = 20000;
  // What was typed before the page sent on another channel by itself. In this tab only, until this page has read it.
  const TYPED = "pv-typed";

  const hidden = (name, value) => Object.assign(document.createElement("input"), { type: "hidden", name, value });

  const kept = (action) => {
    try {
      return action(sessionStorage);
    } catch {
      return null; // The browser keeps nothing for this site.
    }
  };

  // The checkbox is in the form that signs in; other forms submit it too, so that the next page keeps its state.
  const copyRemember = ({ first, on, root }) => {
    const box = first("[data-pv-remember]");
    if (box) {
      on(root, "submit", ({ target: form, defaultPrevented }) => {
        for (const name of !defaultPrevented && box.form !== form ? ["asks_remember", box.checked && "remember"] : []) {
          if (name) {
            form.append(hidden(name, "1"));
          }
        }
      });
    }
  };

  // In a frame, the SMS names the page around it as well: only then do phones fill in the code.
  const nameFrame = ({ on, root }) => {
    const top = [...(location.ancestorOrigins ?? [])].pop();
    if (top) {
      on(root, "submit", ({ target: form, defaultPrevented }) => defaultPrevented || form.append(hidden("frame_top", top)));
    }
  };

  const readTyped = (code) => {
    const verification = code?.form?.elements.verification?.value;
    const [typedFor, typed] = (kept((storage) => storage.getItem(TYPED)) ?? "").split("\n");
    kept((storage) => storage.removeItem(TYPED));
    if (verification && typedFor === verification && !code.value) {
      code.value = typed ?? "";
    }
  };

  let typedAt = -Infinity;

  // Act once, when the visitor sees the page and is not typing.
  const whenWatched = (view, act) => {
    const take = () => {
      if (view.leaving || document.hidden || !navigator.onLine || Date.now() - typedAt < TYPING) {
        return;
      }
      clearInterval(beat);
      document.removeEventListener("visibilitychange", take);
      act();
    };
    const beat = setInterval(take, 1000);
    document.addEventListener("visibilitychange", take);
    take();
  };

  // The request for the page after this time moves the order to another channel.
  const moveOrder = (view) => {
    const seconds = Number(view.place?.dataset.pvMovesIn);
    if (seconds) {
      view.countDown(seconds, () => {}, () => whenWatched(view, view.again));
    }
  };

  // Offer the next channel once the code is late. If the site wants so, send on it: once, to a visitor who sees the
  // page and is not typing.
  const offerNextChannel = (view, code) => {
    const offer = view.first("[data-pv-next]");
    if (!offer) {
      return;
    }
    const form = offer.querySelector("form");
    const { verification: id, channel } = form.elements;
    const taken = `pv-taken ${id.value} ${channel.value}`;
    const sendByItself = () =>
      whenWatched(view, () => {
        // A refused send shows the page again with the same offer. Where that cannot be noted, the visitor presses.
        const isFirst = kept((storage) => {
          const before = storage.getItem(taken);
          storage.setItem(taken, "1");
          return before === null;
        });
        if (isFirst) {
          if (code?.value) {
            kept((storage) => storage.setItem(TYPED, `${id.value}\n${code.value}`));
          }
          form.append(hidden("by_itself", "1"));
          form.requestSubmit();
        }
      });
    view.countDown(Number(offer.dataset.pvNext), () => {}, () => {
      if (offer.hidden) {
        offer.hidden = false;
        view.say(offer.dataset.pvSay);
      }
      if ("pvByItself" in offer.dataset) {
        sendByItself();
      }
    });
  };

  // Without the form `called` the page asks a question after the call, and no script submits it.
  const followCall = async (view, watch) => {
    const called = view.first("[data-pv-called]");
    const otherCaller = view.first("[data-pv-other-caller]");
    try {
      for await (const seen of watch(view.place.dataset.pvPoll, {}, view.signal, false)) {
        if (otherCaller) {
          otherCaller.hidden = !seen.other_caller;
        }
        if (/pending|sent/.test(seen.status)) {
          continue;
        }
        if (view.leaving) {
          setTimeout(() => followCall(view, watch), STUCK_AFTER); // The page is still here: its form was not answered.
        } else if (seen.status === "verified" && called) {
          called.requestSubmit();
        } else {
          view.again();
        }
      }
    } catch (error) {
      if (error.status === 404) {
        view.again();
      }
    }
  };

  import(script.dataset.pvClient ?? new URL("phone-verify-client.js", script.src)).then(({ enhance, watch }) => {
    readTyped(document.querySelector("#pv-code"));
    const view = enhance(document.querySelector("phone-verify > *")?.parentElement ?? document);
    view.first("#pv-code")?.addEventListener("input", () => (typedAt = Date.now()));
    copyRemember(view);
    nameFrame(view);
    offerNextChannel(view, view.first("#pv-code"));
    moveOrder(view);
    if (view.place?.dataset.pvPoll) {
      followCall(view, watch);
    }
    // The browser's Back button can restore the page from its cache.
    addEventListener("pageshow", (event) => {
      if (event.persisted) {
        view.stay();
        view.again();
      }
    });
  });
}
