// Every line ends where a line break means nothing: the breaks are taken out before it is sent.
// A page that the browser restores from its back/forward cache may be of a session that is over: it is
// hidden when it is left, and loaded again when it is restored. Responses to a form are not in that
// cache, so nothing is sent twice.
addEventListener('pagehide',()=>{document.documentElement.hidden=true;});
addEventListener('pageshow',(event)=>{if(event.persisted){location.reload();}else{document.documentElement.hidden=false;}});
